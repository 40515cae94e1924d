"""Programs with tests, in the sandbox that holds here: how many a minute, and what each costs.

python -m benchmarks.sandbox
"""

import asyncio
import resource
import time
from typing import Annotated

import typer

from overthink.tasks.engines.sandbox.choosing import open_sandbox
from overthink.tasks.programs import Limits, Program

TEXT = '''from typing import List


def separated(numbers: List[int], divisor: int) -> List[int]:
    """Return the numbers that {factor} × divisor divides, ascending, each once."""
    return sorted({{number for number in numbers if number % ({factor} * divisor) == 0}})
'''
TESTS = """
def check(candidate):
    assert candidate(list(range(100)), 1) == list(range(0, 100, {factor}))
    assert candidate([], 3) == []
    for divisor in range(1, 50):
        assert candidate(list(range(1000)) * 2, divisor) == list(range(0, 1000, {factor} * divisor))


check(separated)
"""


def program(number: int) -> Program:
    """One of those that are run: every other one right."""
    factor = 2 + number // 2 % 7
    return Program(TEXT.format(factor=factor + number % 2), TESTS.format(factor=factor), ("separated",))


def used() -> float:
    """CPU seconds of this process and of all that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


async def measure(count: int) -> None:
    """Run and print."""
    sandbox = await open_sandbox()
    begin, before = time.monotonic(), used()
    outcomes = await asyncio.gather(*(sandbox.execute(program(number), "", Limits()) for number in range(count)))
    seconds = time.monotonic() - begin
    right = [outcome.passed for outcome in outcomes] == [number % 2 == 0 for number in range(count)]
    own = sum(outcome.cpu_seconds or 0.0 for outcome in outcomes)
    typer.echo(f"{sandbox.isolation.name}: {count} programs in {seconds:.1f} s, {60 * count / seconds:,.0f} a minute")
    typer.echo(
        f"CPU milliseconds a program: {1000 * (used() - before) / count:.1f}, of its own {1000 * own / count:.1f}"
    )
    typer.echo(f"verdicts all as they should be: {'yes' if right else 'NO'}")


def main(count: Annotated[int, typer.Option("--programs")] = 1000) -> None:
    """All at once, as many at a time as there are cores."""
    asyncio.run(measure(count))


if __name__ == "__main__":
    typer.run(main)
