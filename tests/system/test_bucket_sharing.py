"""Machines that share a run over a bucket: one killed, one stopped beyond its lease, and who writes what.

Run as a script, this file forks the workers, each with a working folder of its own: `ENDPOINT BUCKET FOLDER SEED`, a
line of JSON a store.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bare_stages import without_prefect
from killed_runs import asked, has_ended, noted, timeless, told_by, watch_engines
from object_store import BucketView
from storage_samples import forked, status_of
from test_sharing import TABLES, plan_of

from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.integrity import store_findings
from overthink.storage.manifest import Entry, Extent
from overthink.storage.opening import open_store
from overthink.storage.store import Store
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages.progress import RunProgress

WORKERS, LEASE = 3, 2.0
CASES = ("alone", "together", "killed", "stopped", "stopped till the end")


def born(bucket: BucketView, folder: Path, number: int, plan: Plan) -> int:
    """A worker on a machine of its own; it notes its calls, its parts and whether it ended the run."""

    def life() -> None:
        os.environ |= bucket.environment(folder / str(number), OVERTHINK_BUCKET_LEASE=str(LEASE))
        os.environ["OVERTHINK_BUCKET_PATIENCE"] = "20"
        without_prefect(setattr)
        watch_engines(folder)
        watch_parts(folder)
        store = open_store(place_of(bucket, folder.name))
        execution = Execution(plan, store, RunProgress(None), engines_of(plan), True)
        if asyncio.run(execution.run_with_others()):
            note(folder, "ends", {"pid": os.getpid()})

    return forked(life)


def watch_parts(folder: Path) -> None:
    from overthink.storage.bucket_stage import BucketStage

    write_part = BucketStage.write_part

    def noted_part(stage: BucketStage, extent: Extent, *others: Any) -> Entry:
        entry = write_part(stage, extent, *others)
        digests = [each.sha256 for each in entry.files]
        note(folder, "parts", {"part": f"{stage.key}/{extent.name}", "digests": digests, "pid": os.getpid()})
        return entry

    BucketStage.write_part = noted_part  # type: ignore[method-assign]


def note(folder: Path, name: str, value: dict[str, Any]) -> None:
    descriptor = os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{json.dumps(value)}\n".encode())
    os.close(descriptor)


def place_of(bucket: BucketView, name: str) -> str:
    return f"s3://{bucket.name}/{name.replace(' ', '-')}"


def live(bucket: BucketView, folder: Path, moments: random.Random) -> list[int]:
    """The lives of a case; returns how they ended, in the order of their birth."""
    plan = plan_of()
    workers = [born(bucket, folder, number, plan) for number in range(1 if folder.name == "alone" else WORKERS)]
    if folder.name in ("alone", "together"):
        return [status_of(worker) for worker in workers]
    calls = moments.randrange(60, 300)
    while len(noted(folder)) < calls and not any(map(has_ended, workers)):
        time.sleep(0.002)
    victim = asked(folder)[-1][0]  # it is in the middle of a shard
    if folder.name == "killed":
        os.kill(victim, signal.SIGKILL)
        return [status_of(worker) for worker in workers]
    os.kill(victim, signal.SIGSTOP)
    others = [worker for worker in workers if worker != victim]
    deadline = time.monotonic() + (2.5 * LEASE if folder.name == "stopped" else 60)
    while time.monotonic() < deadline and not all(map(has_ended, others)):
        time.sleep(0.05)
    os.kill(victim, signal.SIGCONT)
    return [status_of(worker) for worker in workers]


def main(endpoint: str, name: str, folder: Path, seed: int) -> None:
    bucket, moments = BucketView(endpoint, name, folder / "unused"), random.Random(seed)
    for case in CASES:
        print(json.dumps({"case": case, "statuses": live(bucket, folder / case, moments)}), flush=True)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tables_of(store: Store) -> dict[str, list[str]]:
    return {
        f"{stage.key} {name}": sorted(map(timeless, stage.table(name).to_pylist()))
        for stage in store.stages()
        for name in TABLES.get(stage.key.split("-")[0], ())
    }


@pytest.fixture
def told(bucket: BucketView, tmp_path: Path) -> list[dict[str, Any]]:
    return told_by(__file__, bucket.endpoint, bucket.name, tmp_path / "machines", 20261130)


def test_machines_share_a_run_and_none_that_dies_or_stops_spoils_it(
    told: list[dict[str, Any]], bucket: BucketView, tmp_path: Path
) -> None:
    expected: dict[str, list[str]] = {}
    for case in told:
        folder, name = tmp_path / "machines" / case["case"], case["case"]
        store = open_store(place_of(bucket, name))
        expected = expected or tables_of(store)
        assert tables_of(store) == expected, name
        assert [run.status for run in store.runs()] == ["complete"], name
        died = [-signal.SIGKILL] if name == "killed" else []
        assert sorted(case["statuses"]) == died + [0] * (len(case["statuses"]) - len(died)), name
        assert len(lines(Path(f"{folder}.ends"))) == 1, name
        assert [finding.what for finding in store_findings(store) if finding.level == "broken"] == [], name
        assert_each_part_is_of_one_worker(store, lines(Path(f"{folder}.parts")))
        left = bucket_keys(bucket, name)
        assert [key for key in left if "/leases/" in key or "/sessions/" in key or "/journals/" in key] == [], name
    together = tmp_path / "machines" / "together"
    assert len({process for process, _ in asked(together)}) == WORKERS, "each had something to do"
    assert len(set(noted(together))) == len(noted(together)), "and no call was made twice"


def assert_each_part_is_of_one_worker(store: Store, written: list[dict[str, Any]]) -> None:
    """A part that was written is the one that counts, with all of its files; who came too late was given that one.

    The files of two workers differ, since each notes its own times of calls.
    """
    parts = {(line["part"], *line["digests"]) for line in written}
    there = {
        (f"{stage.key}/{entry.extent.name}", *(each.sha256 for each in entry.files))
        for stage in store.stages()
        for entry in stage.entries()
    }
    assert parts <= there
    assert len(there - parts) <= 1, "one that was decided by who died before it could note it"


def bucket_keys(bucket: BucketView, name: str) -> list[str]:
    return [each.key for each in bucket.objects.objects.filter(Prefix=f"{name.replace(' ', '-')}/")]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
