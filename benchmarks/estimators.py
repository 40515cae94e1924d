"""Accuracy of every selector at every budget, from the step scores of one sampling pass, on synthetic rollouts.

Timed are the rollouts' arrays, the estimates of each problem and the intervals over problems: what the select stage
does apart from reading and writing Parquet.

    python -m benchmarks.estimators --problems 500 --n 256
    python -m benchmarks.estimators --all
"""

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import numpy as np
import typer

from overthink.tasks.analysis.estimators import estimates
from overthink.tasks.analysis.intervals import mean_interval
from overthink.tasks.analysis.selectors import BY_DEFAULT, SELECTORS, Candidates, candidates
from overthink.tasks.analysis.signals import CLASS_NAMES, SIGNAL_NAMES

ANSWERS = 12
STEPS = 8
Result = TypeVar("Result")


def synthetic(n: int, generator: np.random.Generator) -> Candidates:
    """One problem's rollouts: as likely right as the problem is easy, and then with slightly better numbers."""
    right = generator.random(n) < generator.random()
    answers = np.where(right, 0, generator.integers(1, ANSWERS, n))
    keys = [None if lost else str(answer) for answer, lost in zip(answers, generator.random(n) < 0.05, strict=True)]
    scores = np.clip(generator.normal(0.5 + 0.1 * right[:, np.newaxis], 0.2, (n, STEPS)), 0, 1)
    correct = [key == "0" for key in keys]
    signals = {name: generator.normal(10 + right, 3).tolist() for name in SIGNAL_NAMES}
    classes = {name: [str(one) for one in generator.integers(0, ANSWERS, n)] for name in CLASS_NAMES}
    return candidates(keys, correct, scores.tolist(), signals, classes)


def timed(label: str, work: Callable[[], Result]) -> tuple[Result, float]:
    """What a piece of work returns and the seconds it took, printed."""
    begin = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    typer.echo(f"{label:28}{seconds:8.1f} s")
    return result, seconds


def main(
    problems: Annotated[int, typer.Option(help="Problems.")] = 500,
    n: Annotated[int, typer.Option(help="Rollouts a problem; the budgets are the powers of two up to it.")] = 256,
    everything: Annotated[bool, typer.Option("--all", help="All selectors, not only the default ones.")] = False,
) -> None:
    """Print the seconds of each piece and their sum."""
    names = tuple(SELECTORS) if everything else BY_DEFAULT
    budgets = [2**power for power in range(n.bit_length()) if 2**power <= n]
    generator = np.random.default_rng(0)
    rollouts, first = timed("arrays of the rollouts", lambda: [synthetic(n, generator) for _ in range(problems)])
    found, second = timed("estimates", lambda: [estimates(names, problem, budgets, 0) for problem in rollouts])

    def intervals() -> list[tuple[float, float] | None]:
        pairs = [(selector, budget) for selector in names for budget in budgets]
        return [mean_interval(np.array([problem[pair].accuracy for problem in found])) for pair in pairs]

    third = timed("intervals over problems", intervals)[1]
    total = first + second + third
    typer.echo(
        f"{problems} problems x {n} rollouts x {len(names)} selectors x {len(budgets)} budgets: {total:.1f} s "
        f"(bar: 60 s); {total / (problems * len(names) * len(budgets)) * 1e6:.0f} us an estimate"
    )


if __name__ == "__main__":
    typer.run(main)
