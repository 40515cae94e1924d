"""What more workers bring: the same run by one process, then by several that share it, each the whole command.

The engines are fakes of a fixed latency, so waiting is shared, and the machine's cores are not what is measured.
A run's time is that from its beginning to its end, as its manifest has it. Beside it stands that of the commands, in
which each worker starts up (imports).

    python -m benchmarks.workers --workers 2
"""

import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks.kill import COMMAND, COUNTS, rows
from overthink.storage.store import Store


def seconds_of(workers: int, recipe: Path, store: Path) -> tuple[float, float]:
    """How long a run takes, and its commands. Raises RuntimeError where one fails or a call is made twice."""
    begin = time.monotonic()
    words = [str(COMMAND), "run", str(recipe), "--store", str(store), "--shared"]
    started = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=sys.stderr) for _ in range(workers)]
    ends = [worker.wait() for worker in started]
    seconds = time.monotonic() - begin
    (found,) = rows(store, COUNTS)
    if any(ends) or found["calls"] != found["different_calls"] or found["rollouts"] != found["different"]:
        raise RuntimeError(f"{workers} workers ended with {ends} and left {found}")
    (run,) = Store(store).runs()
    assert run.finished_at is not None
    return (datetime.fromisoformat(run.finished_at) - datetime.fromisoformat(run.created_at)).total_seconds(), seconds


def main(
    workers: Annotated[int, typer.Option(min=2, help="How many processes share the second run.")] = 2,
    shards: Annotated[int, typer.Option(help="Shards of the run, two problems each.")] = 48,
    latency: Annotated[float, typer.Option(help="Seconds a call to the policy takes; a quarter for the PRM.")] = 12,
) -> None:
    """Print the times and their ratios (bar for two workers: 55 %)."""
    recipe = {
        "name": "benchmark-workers",
        "problems": {"source": "chains", "count": 2 * shards},
        "policy": {"engine": "fake", "latency_ms": 1000 * latency},
        "prm": {"engine": "fake", "latency_ms": 250 * latency},
        "methods": [{"method": "best_of_n", "n": 4}],
        "budgets": [1, 4],
        "shard_size": 2,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        alone = seconds_of(1, path, Path(folder) / "alone")
        together = seconds_of(workers, path, Path(folder) / "together")
    for what, one, several in zip(("run", "commands"), alone, together, strict=True):
        typer.echo(f"{what}: {one:.0f} s by one worker, {several:.0f} s by {workers}: {several / one:.1%}")


if __name__ == "__main__":
    typer.run(main)
