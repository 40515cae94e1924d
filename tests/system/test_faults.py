"""Faults of the machine around a run that no other file tries: clocks that jump, and two of the same run at once."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from search_runs import rows

from benchmarks.kill import COUNTS, TABLES
from overthink.flows.evaluate import evaluate
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages import driver as drive
from overthink.tasks.stages import run_manifest

pytestmark = pytest.mark.usefixtures("prefect_server")
COMMAND = Path(sys.executable).parent / "overthink"


@pytest.fixture
def recipe(fake_recipe: dict[str, Any]) -> Recipe:
    return recipe_of(fake_recipe, methods=[{"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 8}])


async def test_clocks_that_jump_change_no_result(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await evaluate(recipe, tmp_path / "steady")
    jumps = itertools.cycle([2_000_000_000.0, 0.0, 1_700_000_000.0, 4_000_000_000.0])
    dates = itertools.cycle(["2038-01-19T03:14:08+00:00", "1970-01-01T00:00:00+00:00"])
    monkeypatch.setattr(drive.time, "time", lambda: next(jumps))
    monkeypatch.setattr(run_manifest, "_now", lambda: next(dates))
    await evaluate(recipe, tmp_path / "jumping")
    await evaluate(recipe, tmp_path / "jumping")
    monkeypatch.undo()
    for sql in TABLES.values():
        assert rows(tmp_path / "jumping", sql) == rows(tmp_path / "steady", sql) != []
    assert rows(tmp_path / "jumping", COUNTS) == rows(tmp_path / "steady", COUNTS)
    assert rows(tmp_path / "jumping", "SELECT * FROM calls WHERE latency_ms < 0") == [], "time passes by another clock"
    assert [run.status for run in Store(tmp_path / "jumping").runs()] == ["complete"]


def test_of_two_runs_of_a_recipe_at_once_one_is_refused_and_does_no_harm(tmp_path: Path) -> None:
    words = [COMMAND, "run", "smoke", "--set", "policy.latency_ms=100", "--store", tmp_path]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob("stages/*/journals/*.sqlite")) and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGSTOP)  # it holds its lock for as long as the second one needs
    second = subprocess.run(words, capture_output=True, text=True)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"is being written by process {first.pid}" in second.stderr
    assert first.wait() == 0
    (found,) = rows(tmp_path, COUNTS)
    assert found["rollouts"] == found["different"] == 12 * 17
    assert found["calls"] == found["different_calls"]


async def test_a_disk_that_fills_up_in_a_run_stops_it_and_it_goes_on_once_there_is_space(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full from one fsync on, of a part, a manifest or a run; a little later in each life."""
    await evaluate(recipe, tmp_path / "whole")
    fsync, stopped = os.fsync, 0

    def room_for(syncs: int) -> None:
        left = itertools.count(syncs, -1)

        def limited(descriptor: int) -> None:
            if next(left) <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", limited)

    for syncs in range(0, 200, 7):
        room_for(syncs)
        try:
            await evaluate(recipe, tmp_path / "full")
        except StorageError as error:
            assert "disk full" in str(error)
            stopped += 1
        else:
            break
    monkeypatch.setattr(os, "fsync", fsync)
    assert stopped > 3
    await evaluate(recipe, tmp_path / "full")
    for sql in TABLES.values():
        assert rows(tmp_path / "full", sql) == rows(tmp_path / "whole", sql)
    assert rows(tmp_path / "full", COUNTS) == rows(tmp_path / "whole", COUNTS)
