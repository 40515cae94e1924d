"""Problems of the domain of code, and what a sandbox says of programs: a loop in place of the test stage."""

import asyncio
from collections.abc import Mapping
from typing import Any

from overthink.tasks.domains.code.coding import Code
from overthink.tasks.domains.program_domain import SuiteResult
from overthink.tasks.engines.engine_protocol import Sandbox
from overthink.tasks.methods.requests import Execute, Search
from overthink.tasks.records import Problem

CODE = Code()
ADD = {"question": "Add two numbers.", "entry_point": "add", "tests": "assert add(1, 2) == 3\nassert add(-1, 1) == 0"}


def problem(row: Mapping[str, Any], domain: Code = CODE) -> Problem:
    """A row as the domain has it."""
    return domain.posed(Problem("key", "id", str(row.get("question", "q")), None, fields=dict(row)), None)


async def results(search: Search[tuple[SuiteResult, ...]], sandbox: Sandbox) -> dict[str, SuiteResult]:
    """What becomes of a program, by suite."""
    batch = next(search)
    while True:
        requests = [one for one in batch if isinstance(one, Execute)]
        asked = (sandbox.execute(one.program, one.stdin, one.limits) for one in requests)
        replies = await asyncio.gather(*asked)
        try:
            batch = search.send(replies)
        except StopIteration as end:
            return {one.suite: one for one in end.value}
