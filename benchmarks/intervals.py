"""How often the intervals of accuracies hold the truth, and how wide they are: a table in Markdown, by simulation.

python -m benchmarks.intervals --repeats 4000
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import typer

from overthink.tasks.analysis.intervals import mean_interval, paired_difference
from overthink.tasks.analysis.selectors import Floats

MEANS = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)
SIZES = (10, 30, 100, 500)
Generator = np.random.Generator

DRAWS: dict[str, Callable[[Generator, float, int], Floats]] = {
    "right or wrong": lambda generator, mean, size: (generator.random(size) < mean).astype(float),
    "pass@1 of 16": lambda generator, mean, size: generator.binomial(16, generator.beta(mean, 1 - mean, size)) / 16,
    "alike": lambda generator, mean, size: generator.beta(20 * mean, 20 * (1 - mean), size),
}
# Shares of problems that one way alone and the other alone answers rightly.
FLIPS = ((0.0, 0.0), (0.02, 0.02), (0.05, 0.0), (0.1, 0.02), (0.2, 0.1), (0.95, 0.0))


def of_means(repeats: int) -> Iterator[list[str]]:
    """A row for each kind of accuracies and number of problems, a cell for each mean."""
    for name, draw in DRAWS.items():
        for size in SIZES:
            generator = np.random.default_rng(size)
            samples = ((mean, [draw(generator, mean, size) for _ in range(repeats)]) for mean in MEANS)
            yield [name, str(size), *(cell([mean_interval(one) for one in drawn], mean) for mean, drawn in samples)]


def of_differences(repeats: int) -> Iterator[list[str]]:
    """A row for each number of problems, a cell for each pair of shares that flip."""
    for size in SIZES:
        generator = np.random.default_rng(size)
        cells = []
        for won, lost in FLIPS:
            draws = generator.random((repeats, size))
            first, second = (draws < won).astype(float), (draws > 1 - lost).astype(float)
            pairs = zip(first, second, strict=True)
            cells.append(cell([paired_difference(*pair).interval for pair in pairs], won - lost))
        yield [str(size), *cells]


def cell(intervals: list[tuple[float, float] | None], truth: float) -> str:
    """Per cent of the intervals that hold the truth, and their mean width in points."""
    ends = np.array(intervals, dtype=np.float64)
    held = (ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1])
    return f"{100 * held.mean():.0f} ({100 * np.diff(ends, axis=1).mean():.1f})"


def main(repeats: Annotated[int, typer.Option(help="Samples of each kind.")] = 4000) -> None:
    """Print both tables."""
    tables = (
        (["accuracies", "problems", *(f"{mean:g}" for mean in MEANS)], of_means(repeats)),
        (["problems", *(f"{100 * won:g} % / {100 * lost:g} %" for won, lost in FLIPS)], of_differences(repeats)),
    )
    for header, rows in tables:
        for row in (header, ["---"] * len(header), *rows):
            typer.echo(f"| {' | '.join(row)} |")
        typer.echo("")


if __name__ == "__main__":
    typer.run(main)
