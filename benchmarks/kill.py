"""kill -9 at random moments of a recipe, resumed each time, against an uninterrupted run of the same recipe.

Each life runs the command in a process group of its own and is killed after a random part of the time that an
uninterrupted run takes; then the recipe is run to its end. Printed and checked: rollouts twice, rollouts missing, calls
answered twice, orphan files, and how many rollouts equal those of the uninterrupted run.

    python -m benchmarks.kill demo --kills 20
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from overthink.storage.sql import query
from overthink.storage.store import Store

COMMAND = Path(sys.executable).parent / "overthink"
COUNTS = """SELECT count(*) AS rollouts, count(DISTINCT rollout_id) AS different,
  (SELECT count(*) FROM calls) AS calls, (SELECT count(DISTINCT call_key) FROM calls) AS different_calls,
  (SELECT count(*) FROM scores) AS scores, (SELECT sum(step_count) FROM rollouts) AS steps FROM rollouts"""
TABLES = {
    "rollouts": "SELECT * FROM rollouts ORDER BY ALL",
    "scores": "SELECT * FROM scores ORDER BY ALL",
    "grades": "SELECT * FROM grades ORDER BY ALL",
    "summary": "SELECT * EXCLUDE (policy_tokens, prm_tokens, flops) FROM summary ORDER BY ALL",
}


def start(recipe: str, changes: list[str], store: Path) -> subprocess.Popen[bytes]:
    """One life of a run."""
    arguments = [str(COMMAND), "run", recipe, "--store", str(store)]
    arguments += [word for change in changes for word in ("--set", change)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def finish(recipe: str, changes: list[str], store: Path) -> float:
    """Run to the end; returns the seconds it took. Raises RuntimeError where the command fails."""
    begin = time.monotonic()
    if start(recipe, changes, store).wait() != 0:
        raise RuntimeError(f"the run in {store} failed; see its run.log")
    return time.monotonic() - begin


def live_and_die(recipe: str, changes: list[str], store: Path, seconds: float) -> bool:
    """Kill a life after some seconds; False where it had ended by itself."""
    life = start(recipe, changes, store)
    try:
        life.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(life.pid, signal.SIGKILL)
        life.wait()
        return True


def orphans(store: Path) -> list[str]:
    """Files under the stages that no manifest accounts for."""
    opened = Store(store)
    known = {opened.root / "stages" / stage.key / "stage.json" for stage in opened.stages()}
    for stage in opened.stages():
        for entry in stage.entries():
            known.add(stage.manifest_folder / f"{entry.extent.name}.json")
            known.update(stage.parts_folder / part_file.name for part_file in entry.files)
    return sorted(str(path) for path in (store / "stages").rglob("*") if path.is_file() and path not in known)


def rows(store: Path, sql: str) -> list[dict[str, Any]]:
    """The rows of a query."""
    return list(query(Store(store), sql).to_pylist())


def compare(whole: Path, killed: Path) -> bool:
    """Print how a killed run stands beside the uninterrupted one; whether it lost, doubled and left over nothing."""
    expected, found = rows(whole, COUNTS)[0], rows(killed, COUNTS)[0]
    print(f"uninterrupted {expected}\nkilled        {found}")
    for table, sql in TABLES.items():
        left, right = rows(whole, sql), rows(killed, sql)
        same = sum(a == b for a, b in zip(left, right, strict=False))
        print(f"{table}: {len(left)} and {len(right)} rows, {same} equal")
    leftover = orphans(killed)
    print(f"orphan files: {leftover or 'none'}", flush=True)
    whole_again = found["rollouts"] == found["different"] == expected["rollouts"]
    calls_once = found["calls"] == found["different_calls"] == expected["calls"]
    return not leftover and whole_again and calls_once and found["scores"] == found["steps"]


def main(
    recipe: Annotated[str, typer.Argument(help="A recipe, shipped or a file.")] = "demo",
    kills: Annotated[int, typer.Option(help="How often to kill.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the random moments.")] = 0,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE changes of the recipe.")] = None,
    earliest: Annotated[float, typer.Option(help="Seconds no kill comes before (start of the interpreter).")] = 5,
) -> None:
    """Kill and resume, in a new store once one is done, and compare; exits 1 where anything was lost or doubled."""
    source = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        duration = finish(recipe, changes or [], whole)
        print(f"uninterrupted: {duration:.0f} s", flush=True)
        left, good, number = kills, True, 0
        while left:
            killed, number = Path(folder) / f"killed-{number}", number + 1
            while left:
                moment = source.uniform(earliest, max(earliest + 1, duration / 3))
                if not live_and_die(recipe, changes or [], killed, moment):
                    break
                left -= 1
                print(f"store {number}: killed after {moment:.1f} s, {left} kills left", flush=True)
            finish(recipe, changes or [], killed)
            good = compare(whole, killed) and good
    if not good:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
