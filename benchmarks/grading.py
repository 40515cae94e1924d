"""Problems graded a second on all cores: by our own pool of processes, and by pebble's where it is installed.

Each problem has 16 answers that are no plain numbers. Both bound a process's memory, and kill one that does not answer.

    python -m benchmarks.grading --problems 2000          # pip install pebble, to compare
"""

import multiprocessing
import os
import random
import resource
import time
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.stages.graded import on_all_cores

FORMS = (r"\frac{%d}{%d}", "%d/%d", r"x=\dfrac{%d}{%d}", r"\sqrt{%d}+%d", r"%d\pi^{%d}", "(%d, %d)", "%dx+%d")
Problem = tuple[str, list[str]]


def problems(count: int) -> list[Problem]:
    """References, and answers that are spelled in many ways."""
    source = random.Random(0)
    numbers = [(source.randint(1, 99), source.randint(2, 99)) for _ in range(count)]
    return [(FORMS[0] % pair, [source.choice(FORMS) % pair for _ in range(16)]) for pair in numbers]


def ours(todo: list[Problem]) -> tuple[float, float]:
    """Seconds until the first problem is graded, and for all others."""
    begin = time.monotonic()
    with MathJudge() as judge:
        judge.judge(*todo[0])
        started = time.monotonic()
        on_all_cores(lambda problem: judge.judge(*problem), todo)
    return started - begin, time.monotonic() - started


def pebbles(todo: list[Problem]) -> tuple[float, float]:
    """The same by pebble's pool, whose processes are spawned: those of a program with threads cannot be forked."""
    from pebble import ProcessPool

    begin = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPool(len(os.sched_getaffinity(0)), initializer=bound_memory, context=context) as pool:
        pool.schedule(grade, args=todo[0]).result()
        started = time.monotonic()
        for future in [pool.schedule(grade, args=problem, timeout=130) for problem in todo]:
            future.result()
    return started - begin, time.monotonic() - started


def bound_memory() -> None:
    """As `worker.py` does."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))


def grade(reference: str, answers: list[str]) -> dict[str, Any]:
    """What a child process of ours does."""
    from overthink.tasks.domains.math.bounded import Budget, judged

    return dict(judged(reference, answers, Budget(5.0, 30.0)))


def main(count: Annotated[int, typer.Option("--problems")] = 2000) -> None:
    """Print both, one after the other."""
    todo = problems(count)
    for name, pool in (("ours", ours), ("pebble", pebbles)):
        if name == "ours" or find_spec("pebble"):
            started, seconds = pool(todo)
            typer.echo(f"{name:8}first verdict after {started:5.1f} s, then {count / seconds:6.0f} problems/s")


if __name__ == "__main__":
    typer.run(main)
