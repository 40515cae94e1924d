"""What a run of any size takes: rows, bytes, files, calls and tasks, from bytes a row measured in a finished store.

python -m benchmarks.sizes --store store
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from overthink.flows.commands.terminal import unfolded
from overthink.storage.store import Store

SIZES = ((500, 16), (500, 256), (12_500, 256), (100_000, 256), (1_000_000, 256))
STAGES = {"sample": ("rollouts", "steps", "calls"), "score": ("scores", "calls"), "grade": ("answers", "grades")}
PROBLEM_TABLES = ("answers", "grades")  # a row a rollout, however long it is
OPEN_SHARDS = 2  # the next one begins while the last problems of one end


@dataclass(frozen=True)
class Measured:
    """What the sampled stages of a store hold for each rollout: bytes on disk, and of `select`'s tables in memory."""

    steps: float
    tokens: float
    bytes_on_disk: dict[str, float]
    bytes_in_memory: float


@dataclass(frozen=True)
class Size:
    """What a run of best-of-N takes. Bytes are on disk but for `select_memory`."""

    problems: int
    n: int
    rollouts: int
    step_rows: int
    calls: int
    tokens: float
    parquet: float
    files: int
    tasks: int
    rollouts_at_once: int
    select_memory: float


def measured(store: Store) -> Measured:
    """Measure the stages of a store that sample, score and grade. Raises ZeroDivisionError where there are none."""
    on_disk: dict[str, int] = defaultdict(int)
    rollouts = steps = tokens = memory = 0
    for stage in store.stages():
        kind = stage.key.split("-")[0]
        for table in STAGES.get(kind, ()):
            on_disk[table] += sum(path.stat().st_size for path in stage.files(table))
        if kind == "sample":
            rows = stage.table("rollouts")
            rollouts += rows.num_rows
            steps += sum(rows["step_count"].to_pylist())
            tokens += sum(rows["completion_tokens"].to_pylist())
        memory += sum(stage.table(table).nbytes for table in ("scores", "answers") if table in STAGES.get(kind, ()))
    return Measured(
        steps / rollouts,
        tokens / rollouts,
        {table: total / rollouts for table, total in on_disk.items()},
        memory / rollouts,
    )


def size_of(problems: int, n: int, shard_size: int, unit: Measured, tokens: float) -> Size:
    """A run of best-of-N over `problems` whose solutions have `tokens` tokens, in steps as long as those measured."""
    rollouts, longer = problems * n, tokens / unit.tokens
    shards = -(-problems // shard_size)
    a_rollout = sum(size * (1 if table in PROBLEM_TABLES else longer) for table, size in unit.bytes_on_disk.items())
    return Size(
        problems=problems,
        n=n,
        rollouts=rollouts,
        step_rows=round(rollouts * unit.steps * longer),
        calls=2 * rollouts,
        tokens=rollouts * tokens,
        parquet=rollouts * a_rollout,
        files=shards * sum(len(tables) + 1 for tables in STAGES.values()),
        tasks=shards * len(STAGES),
        rollouts_at_once=OPEN_SHARDS * min(shard_size, problems) * n,
        select_memory=rollouts * unit.bytes_in_memory * longer,
    )


def main(
    store: Annotated[Path, typer.Option(help="A store with a finished run of best-of-N.")] = Path("store"),
    shard_size: Annotated[int, typer.Option(help="Problems a task.")] = 50,
    tokens: Annotated[float, typer.Option(help="Tokens a solution of the runs to come.")] = 500,
) -> None:
    """Print what was measured, and what runs of several sizes take."""
    unit = measured(Store(store))
    for table, size in unit.bytes_on_disk.items():
        typer.echo(f"{table}: {size:.1f} bytes a rollout")
    typer.echo(f"{unit.steps:.1f} steps and {unit.tokens:.0f} tokens a rollout")
    typer.echo(f"select holds {unit.bytes_in_memory:.0f} bytes a rollout")
    drawn = Table("problems × n", "rollouts", "step rows", "calls", "tokens", "Parquet", "files", "tasks", "in select")
    for problems, n in SIZES:
        run = size_of(problems, n, shard_size, unit, tokens)
        counts = [f"{count:,}" for count in (run.rollouts, run.step_rows, run.calls)]
        amounts = f"{run.tokens:.2g}", f"{run.parquet / 1e9:,.1f} GB", f"{run.files:,}", f"{run.tasks:,}"
        drawn.add_row(f"{problems:,} × {n}", *counts, *amounts, f"{run.select_memory / 1e9:,.1f} GB")
    unfolded(drawn).print(drawn)


if __name__ == "__main__":
    typer.run(main)
