"""A stage survives a crash before, in or after any step on the disk, and kills at random moments.

Run as a script, this file forks the crashing lives: `ROOT enumerate` or `ROOT kill SEED`. One line of JSON a case.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from crash_steps import KILLED, Steps
from storage_samples import ROOT, call, forked, rollouts_of, status_of

from overthink.storage.journal import Journal
from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import calls_table
from overthink.storage.stages import Stage
from overthink.storage.store import Store

SAMPLES = 2
IDENTITY = {"stage": "sample"}
SHARD_SIZE = 2


def stage_of(store: Store) -> Stage:
    return store.stage(labelled_key("sample", IDENTITY))


def note(root: Path, line: str) -> None:
    """What a life did, in a file beside the store that no crash can take back."""
    descriptor = os.open(f"{root}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def live(root: Path, units: str) -> None:
    """One life of a stage: verify, then make what is missing, each call journaled before its part is written."""
    store = Store(root)
    stage = stage_of(store)
    with store.lock_stage(stage):
        stage.describe(IDENTITY)
        stage.verify(frozenset())
        shards = stage.shards(tuple(units), SAMPLES, SHARD_SIZE)
        stage.journals.settle(units, {shard.name: shard.units for shard in shards})
        for shard in shards:
            with stage.lease(shard):
                journal = stage.journals.open(shard.name)
                for extent in shard.extents:
                    make(root, stage, journal, extent)
                journal.close()


def make(root: Path, stage: Stage, journal: Journal, extent: Extent) -> None:
    for unit in extent.units:
        answered = [call(f"{unit}-{index}", unit, index) for index in range(extent.first, extent.last)]
        answered = [one for one in answered if journal.reply(one.call_key) is None]
        if answered:
            note(root, "\n".join(f"made {one.call_key}" for one in answered))
            journal.append(answered)
            note(root, "\n".join(f"journaled {one.call_key}" for one in answered))
    calls = list(journal.calls(extent.units, extent.first, extent.last))
    stage.write_part(extent, {"rollouts": rollouts_of(extent), "calls": calls_table(calls)})
    note(root, f"wrote {extent.name}")
    journal.forget([one.call_key for one in calls])


def result_of(root: Path) -> dict[str, Any]:
    """The tables and files of a store, and the calls that were made again although they were journaled or written."""
    stage = stage_of(Store(root))
    tables = {name: stage.table(name).to_pylist() for name in ("rollouts", "calls")}
    log = Path(f"{root}.log").read_text(encoding="utf-8").splitlines()
    safe: set[str] = set()
    again = []
    for word, name in (line.split() for line in log):
        if word == "journaled":
            safe.add(name)
        if word == "made" and name in safe:
            again.append(name)
    parts = [line for line in log if line.startswith("wrote")]
    return {
        "tables": json.loads(json.dumps(tables, default=str)),
        "files": sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()),
        "called_again": again,
        "written_again": sorted({part for part in parts if parts.count(part) > 1}),
    }


def tell(**case: Any) -> None:
    print(json.dumps(case), flush=True)


def crash_everywhere(root: Path, units: str) -> None:
    """Crash at step 1, 2, … until a life ends by itself; after each crash, resume and tell what is there."""

    def crashing(place: Path, step: int) -> None:
        Steps(step).install()
        live(place, units)

    def resuming(place: Path, crashed: int, step: int) -> None:
        if crashed == KILLED:
            live(place, units)
        tell(step=step, crashed=crashed, **result_of(place))

    for step in range(1, 10_000):
        place = root / str(step)
        crashed = status_of(forked(lambda: crashing(place, step)))  # noqa: B023
        assert status_of(forked(lambda: resuming(place, crashed, step))) == 0  # noqa: B023
        if crashed != KILLED:
            return


def kill_at_random(root: Path, units: str, seed: int, kills: int) -> None:
    """Kill lives at random moments, resuming the same store until it is done; then begin another."""

    def resuming(place: Path, killed: int) -> None:
        live(place, units)
        tell(killed=killed, **result_of(place))

    moments, number, killed = random.Random(seed), 0, 0
    while killed < kills:
        place = root / str(number)
        child = forked(lambda: live(place, units))  # noqa: B023
        time.sleep(moments.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        status = status_of(child)
        killed += status == -signal.SIGKILL
        if status == 0 or killed == kills:
            assert status_of(forked(lambda: resuming(place, killed))) == 0  # noqa: B023
            number += 1


def cases(*arguments: object) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env=os.environ | {"PYTHONPATH": path}, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return cases(tmp_path_factory.mktemp("crashes"), "enumerate")


def uninterrupted(root: Path, units: str) -> dict[str, Any]:
    live(root, units)
    return result_of(root)


def test_there_are_many_crash_points_and_the_last_life_reaches_the_end(crashes: list[dict[str, Any]]) -> None:
    assert len(crashes) > 60
    assert {case["crashed"] for case in crashes[:-1]} == {KILLED}
    assert crashes[-1]["crashed"] == 0


def test_after_any_crash_the_tables_equal_those_of_an_uninterrupted_run(
    crashes: list[dict[str, Any]], tmp_path: Path
) -> None:
    whole = uninterrupted(tmp_path / "store", "abc")
    assert len(whole["tables"]["rollouts"]) == len(whole["tables"]["calls"]) == 6
    assert [case["step"] for case in crashes if case["tables"] != whole["tables"]] == []


def test_after_any_crash_no_file_is_left_over(crashes: list[dict[str, Any]], tmp_path: Path) -> None:
    whole = uninterrupted(tmp_path / "store", "abc")
    assert {case["step"]: case["files"] for case in crashes if case["files"] != whole["files"]} == {}


def test_after_any_crash_no_journaled_call_and_no_part_is_made_again(crashes: list[dict[str, Any]]) -> None:
    assert [case["step"] for case in crashes if case["called_again"] or case["written_again"]] == []


def test_kills_at_random_moments_change_nothing_in_the_end(tmp_path: Path) -> None:
    units = "abcdefghijkl"
    whole = uninterrupted(tmp_path / "store", units)
    found = cases(tmp_path, "kill", 20260101)
    assert found[-1]["killed"] == 20
    for case in found:
        assert [case[name] for name in whole] == list(whole.values())


if __name__ == "__main__":
    if sys.argv[2] == "enumerate":
        crash_everywhere(Path(sys.argv[1]), "abc")
    else:
        kill_at_random(Path(sys.argv[1]), "abcdefghijkl", int(sys.argv[3]), 20)
