"""Resident memory of a large search on the fake engines: the whole command, journal and Parquet included.

The fake engines hold no weights, so the memory that is measured is ours.

    python -m benchmarks.memory --problems 2000 --n 64
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

COMMAND = Path(sys.executable).parent / "overthink"


def main(
    problems: Annotated[int, typer.Option(help="Chains to search.")] = 2000,
    n: Annotated[int, typer.Option(help="N of beam search; M is 4.")] = 64,
) -> None:
    """Print the peak resident memory of the run, and its time."""
    recipe = {
        "name": "benchmark-memory",
        "problems": {"source": "chains", "count": problems},
        "policy": {"engine": "fake", "steps": 6},
        "prm": {"engine": "fake"},
        "methods": [{"method": "beam_search", "n": n}],
        "budgets": [n],
        "selectors": ["majority", "prm_last_vote"],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
        begin = time.monotonic()
        arguments = [str(COMMAND), "run", str(path), "--store", f"{folder}/store"]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
    # The largest of the command and the Prefect server it may have started.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    typer.echo(f"{problems} problems, N = {n}: peak {peak:.2f} GiB resident (bar: 1.5 GB), {seconds:.0f} s")


if __name__ == "__main__":
    typer.run(main)
