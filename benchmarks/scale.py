"""What is asked of a large store: time and peak memory of SQL, commands, stages after grade, and reading manifests.

The rows are made up, so that a store of millions of rollouts is written in minutes. Each measurement is a process of
its own, whose largest resident memory the system tells.

    python -m benchmarks.scale --problems 12500 --n 256
    python -m benchmarks.scale --problems 1000 --n 256 --only select
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

JOIN = (
    "SELECT r.problem_id, avg(s.score), count(*) FILTER (g.correct) FROM rollouts r JOIN grades g USING (rollout_id) "
    "JOIN scores s USING (rollout_id) GROUP BY ALL ORDER BY ALL"
)


def ask(store: Path, sql: str) -> None:
    """What `overthink sql --format csv` does."""
    command(store, "sql", sql, "--format", "csv")


def command(store: Path, *words: str) -> None:
    """A command of ours, in this process."""
    from overthink.flows.commands.cli import app

    code = app([*words, "--store", str(store)], standalone_mode=False)
    if code:
        raise SystemExit(code)


def stages(name: str) -> Callable[[Path], None]:
    """Make the stages of one name anew; `strategy` stands for decide and choose."""

    def make(store: Path) -> None:
        from benchmarks.made_up_stages import MadeUpRun, make_again

        named = {"strategy": ["decide", "choose"]}.get(name, [name])
        make_again(store, lambda run: [getattr(MadeUpRun, one)(run) for one in named])

    return make


def collect(store: Path) -> None:
    """What `overthink fit` reads."""
    from benchmarks import made_up_stages

    made_up_stages.collect(store)


def compare(store: Path) -> None:
    """What `overthink compare` does."""
    from benchmarks import made_up_stages

    made_up_stages.compare(store)


def read_manifests(store: Path) -> None:
    """Read what every stage holds."""
    from overthink.storage.store import Store

    standing = Store(store).as_it_stands()
    for stage in standing.stages():
        standing.entries(stage.key)


def read_shards(store: Path) -> None:
    """Read the answers of every shard in turn, as stages after grade do."""
    from benchmarks.made_up import KEYS
    from overthink.storage.stage_kinds import StageKind
    from overthink.storage.store import Store

    grades = Store(store).stage(KEYS[StageKind.GRADE]).as_it_stands()
    for entry in grades.entries():
        grades.table("answers", entry.extent.units)
        grades.digests("answers", entry.extent.units)


WORK: dict[str, Callable[[Path], None]] = {
    "manifests": read_manifests,
    "shards": read_shards,
    "summary": lambda store: ask(store, "SELECT * FROM summary"),
    "join": lambda store: ask(store, JOIN),
    "report": lambda store: command(store, "report", "made-up"),
    "csv": lambda store: ask(store, "SELECT * FROM rollouts"),
    "duckdb": lambda store: command(store, "export", "--duckdb", f"{store}.duckdb", "--force"),
    "parquet": lambda store: command(store, "export", "--parquet", f"{store}.parquet", "--force"),
    "select": stages("select"),
    "measure": stages("measure"),
    "strategy": stages("strategy"),
    "fit": collect,
    "compare": compare,
}


def measured(words: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak GiB of this module run with some words. Raises CalledProcessError."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.scale", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, words)
    return time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def main(
    problems: Annotated[int, typer.Option(help="Problems.")] = 1000,
    n: Annotated[int, typer.Option(help="Rollouts a problem.")] = 64,
    shard_size: Annotated[int, typer.Option(help="Problems a shard.")] = 50,
    only: Annotated[list[str] | None, typer.Option(help=f"Only {', '.join(WORK)}.")] = None,
    at: Annotated[Path | None, typer.Option(help="Keep the store in this folder, and use the one there.")] = None,
    work: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a line for each measurement."""
    if work == "write" and at is not None:
        from benchmarks.made_up import write_store

        write_store(at, problems, n, shard_size)
    elif work is not None and at is not None:
        WORK[work](at)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(at or Path(folder) / "store", only or list(WORK), [str(problems), str(n), str(shard_size)])


def measure(store: Path, only: list[str], sizes: list[str]) -> None:
    """Write the store where it is not there, and print what each piece of work takes."""
    words = [word for pair in zip(("--problems", "--n", "--shard-size"), sizes, strict=True) for word in pair]
    for one in (*(() if store.exists() else ("write",)), *only):
        seconds, cpu, peak = measured([*words, "--at", str(store), "--work", one])
        typer.echo(f"{one:10}{seconds:8.1f} s{cpu:8.1f} s of CPU{peak:8.2f} GiB")


if __name__ == "__main__":
    typer.run(main)
