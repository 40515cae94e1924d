"""Two workers of a Prefect pool over Postgres share a run; one of them is killed, and the other ends it."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from composed import ROOT, Box, postgres_folder, until
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.kill import COUNTS, orphans, rows
from flows.recipe_files import read_recipe

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="Postgres is missing: apt-get install postgresql")
PROBLEMS, N = 60, 32
WORKER = ["prefect", "worker", "start", "--pool", "overthink", "--type", "process", "--limit", "1"]


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    box = Box("cpu", POSTGRES_PASSWORD="only-for-this-test")
    try:
        box.up("postgres", "server")
        until(lambda: box.is_healthy("server"), "the server is healthy")
        yield box
    finally:
        box.down()


async def flow_runs(box: Box) -> list[FlowRun]:
    with temporary_settings({PREFECT_API_URL: box.api}):
        async with get_client() as client:
            return await client.read_flow_runs()


def at_work(store: Path) -> set[int]:
    """The processes that hold a lease on a shard."""
    notes = [path.read_text(encoding="utf-8") for path in store.glob("stages/*/leases/*")]
    return {json.loads(note)["pid"] for note in notes if note}


def test_one_of_two_workers_of_a_pool_is_killed_and_the_other_ends_the_run(box: Box, tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "recipes" / "smoke.yaml").model_dump(mode="json")
    recipe["policy"]["latency_ms"] = recipe["prm"]["latency_ms"] = 500
    recipe["problems"]["count"], recipe["methods"][1]["n"] = PROBLEMS, N
    written, store = tmp_path / "shared.yaml", box.folder / "shared"
    written.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    for number in range(2):
        box.start(f"worker-{number}", WORKER, like="worker-cpu")
    until(lambda: box.run("worker-cpu", ["prefect", "work-pool", "inspect", "overthink"]).returncode == 0, "a pool")
    for words in (
        ["overthink", "deploy", str(written), "--name", "shared", "--store", str(store)],
        ["overthink", "run", str(written), "--deployment", "shared", "--workers", "2"],
    ):
        told = box.run("schedule-cpu", words)
        assert told.returncode == 0, told.stdout + told.stderr
    victim, _ = sorted(until(lambda: len(pids := at_work(store)) == 2 and pids, "both workers are at it"))
    os.kill(victim, signal.SIGKILL)
    until(lambda: rows(store, "SELECT 1 FROM runs WHERE status = 'complete'"), "the run is complete")
    until(lambda: all(run.state.is_final() for run in asyncio.run(flow_runs(box))), "both flow runs have ended")
    assert sorted(str(run.state_name) for run in asyncio.run(flow_runs(box))) == ["Completed", "Crashed"]
    (found,) = rows(store, COUNTS)
    assert found["rollouts"] == found["different"] == PROBLEMS * (N + 1)
    assert found["calls"] == found["different_calls"]
    assert found["scores"] == found["steps"]
    assert orphans(store) == []
