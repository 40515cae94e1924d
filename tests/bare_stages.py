"""Runs as the flow carries them out but without Prefect, whose start would take seconds."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flows.applying
import flows.evaluate
import flows.runner
from flows.evaluate import Evaluation
from flows.plan import Plan
from flows.progress import RunProgress
from storage.store import Store
from tasks import deciding

TASKS = {
    flows.evaluate: ("sample", "search"),
    flows.runner: ("score", "grade", "select"),
    flows.applying: ("choose_decided",),
    deciding: ("decide",),
}


class NoArtifact:
    async def advance(self) -> None:
        pass


async def no_artifact(*_: Any) -> NoArtifact:
    return NoArtifact()


def without_prefect(replace: Callable[[Any, str, Any], object]) -> None:
    """Put the functions behind the tasks in their place, by `setattr` or a monkeypatch's."""
    for module, names in TASKS.items():
        for name in names:
            task = getattr(module, name)
            replace(module, name, getattr(task, "fn", task))
    replace(flows.runner, "publish_progress", no_artifact)
    replace(flows.evaluate, "publish_summary", no_artifact)


def carry_out(plan: Plan, root: Path) -> None:
    """All stages of a run that are not there yet."""
    asyncio.run(Evaluation(plan, Store(root), RunProgress(None)).run())
