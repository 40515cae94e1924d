"""Small stores, extents, rows and calls for the tests of `storage/`, and processes that die over them."""

import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from overthink.storage.journal import Journal, JournaledCall
from overthink.storage.manifest import Entry, Extent, PartFile
from overthink.storage.part_tables import rows_table
from overthink.storage.stages import Stage
from overthink.storage.store import Run, StageUse

ROOT = Path(__file__).resolve().parent.parent


def rollouts_of(extent: Extent) -> pa.Table:
    """One rollout for each unit and sample of a extent."""
    return rows_table(
        "rollouts",
        [
            {
                "problem_key": unit,
                "problem_id": f"id-{unit}",
                "sample_index": index,
                "rollout_id": f"{unit}/{index}",
                "text": f"text of {unit}/{index}",
                "logprob_sum": -0.1 * index,
            }
            for unit in extent.units
            for index in range(extent.first, extent.last)
        ],
    )


def write_rollouts(stage: Stage, units: str, first: int, last: int) -> Entry:
    """A part of rollouts, one unit a letter."""
    extent = Extent(tuple(units), first, last)
    return stage.write_part(extent, {"rollouts": rollouts_of(extent)})


def write_entry_only(stage: Stage, extent: Extent) -> None:
    """A manifest entry as 0.1 wrote it, without its file and the cost of an fsync."""
    stage.manifest_folder.mkdir(parents=True, exist_ok=True)
    path = stage.manifest_folder / f"{extent.name}.json"
    part_file = PartFile("rollouts", f"{extent.name}.rollouts.parquet", 0, 0, "0" * 64)
    path.write_bytes(TypeAdapter(Entry).dump_json(Entry(extent, (part_file,)), by_alias=True))


def pairs(extents: list[Extent]) -> list[tuple[str, int]]:
    """Every (unit, sample) of some extents, with repeats, in order."""
    return sorted(
        (unit, index) for extent in extents for unit in extent.units for index in range(extent.first, extent.last)
    )


def tree(folder: Path) -> dict[str, bytes]:
    """All files under a folder with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def call(call_key: str, problem_key: str = "a", sample_index: int = 0, **changes: Any) -> JournaledCall:
    """One answered call."""
    values: dict[str, Any] = {
        "call_key": call_key,
        "problem_key": problem_key,
        "problem_id": f"id-{problem_key}",
        "sample_index": sample_index,
        "kind": "generate",
        "model": "tiny",
        "reply": f"reply to {call_key}",
        "input_tokens": 3,
        "cached_tokens": None,
        "output_tokens": 5,
        "latency_ms": 0.1 + 0.2,
        "started_at": 1_700_000_000.25,
    }
    return JournaledCall(**values | changes)


def stored_keys(path: Path) -> list[str]:
    """The keys of the calls that a journal has on disk; from a copy, because a journal keeps its file to itself."""
    with tempfile.TemporaryDirectory() as folder:
        for each in Journal.files(path):
            with suppress(FileNotFoundError):  # it is being closed
                shutil.copy(each, folder)
        connection = sqlite3.connect(Path(folder) / path.name)
        try:
            begun = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone()
            query = "SELECT call_key FROM calls ORDER BY call_key"
            return [row[0] for row in connection.execute(query)] if begun else []
        finally:
            connection.close()


def run_named(run_id: str, *stages: StageUse, **changes: Any) -> Run:
    """A finished run."""
    values: dict[str, Any] = {
        "run_id": run_id,
        "name": "demo",
        "recipe": {"name": "demo", "budgets": [1, 2]},
        "seed": 7,
        "status": "complete",
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": None,
        "versions": {"overthink": "0.1.0"},
        "problem_set": "sums",
        "policy": "tiny",
        "policy_parameters": 10,
        "prm": None,
        "prm_parameters": None,
        "stages": stages,
    }
    return Run(**values | changes)


def forked(life: Callable[[], None]) -> int:
    """Start a process that lives one life."""
    pa.array([0])  # which loads pandas, where it is installed: once here instead of in every child
    child = os.fork()
    if child == 0:
        try:
            life()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException as error:
            print(json.dumps({"error": repr(error)}), flush=True)
            os._exit(1)
        os._exit(0)
    return child


def status_of(child: int) -> int:
    """The exit code of a process, negative where a signal ended it; waits for its end."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
