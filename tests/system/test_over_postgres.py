"""A Prefect server over Postgres, as docker-compose.yml starts them: restarted under a run, and with two workers."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from composed import BIN, ROOT, Box, postgres_folder, until
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.kill import COUNTS, orphans, rows
from overthink.tasks.recipes.loading import read_recipe

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="Postgres is missing: apt-get install postgresql")
WORKER = ["prefect", "worker", "start", "--pool", "overthink", "--type", "process", "--limit", "1"]
FINAL = {"Completed", "Crashed", "Failed", "Cancelled"}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    box = Box("cpu", POSTGRES_PASSWORD="only-for-this-test")
    try:
        box.up("postgres", "server")
        until(lambda: box.is_healthy("server"), "the server is healthy")
        yield box
    finally:
        box.down()


async def states(box: Box, name: str) -> list[str | None]:
    with temporary_settings({PREFECT_API_URL: box.api}):
        async with get_client() as client:
            named = FlowRunFilter(name=FlowRunFilterName(any_=[f"evaluate {name}"]))
            return [run.state_name for run in await client.read_flow_runs(flow_run_filter=named)]


@pytest.mark.parametrize("service", ["postgres", "server"])
def test_a_run_outlives_a_restart_of_what_keeps_its_state(service: str, box: Box, tmp_path: Path) -> None:
    name, store = f"past-{service}", tmp_path / "store"
    changes = [f"name={name}", "policy.latency_ms=1000", "prm.latency_ms=1000", "problems.count=60", "methods.1.n=32"]
    words = [BIN / "overthink", "run", "smoke", *(word for change in changes for word in ("--set", change))]
    run = subprocess.Popen(
        [*words, "--store", store], env=os.environ | {"PREFECT_API_URL": box.api}, stdout=subprocess.PIPE, text=True
    )
    until(lambda: list(store.glob("stages/*/journals/*.sqlite")), "the run asks its engines")
    assert asyncio.run(states(box, name)) == ["Running"]
    box.kill(service)
    time.sleep(5)
    box.start_again(service)
    told, _ = run.communicate(timeout=600)
    assert run.returncode == 0, told
    assert asyncio.run(states(box, name)) == ["Completed"]
    (found,) = rows(store, COUNTS)
    assert found["rollouts"] == found["different"] == 60 * 33
    assert found["calls"] == found["different_calls"]


def at_work(store: Path) -> set[int]:
    """The processes that hold a lease on a shard."""
    notes = [path.read_text(encoding="utf-8") for path in store.glob("stages/*/leases/*")]
    return {json.loads(note)["pid"] for note in notes if note}


def test_one_of_two_workers_of_a_pool_is_killed_and_the_other_ends_the_run(box: Box, tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "recipes" / "smoke.yaml").model_dump(mode="json")
    recipe["name"] = "shared"
    recipe["policy"]["latency_ms"] = recipe["prm"]["latency_ms"] = 500
    recipe["problems"]["count"], recipe["methods"][1]["n"] = 60, 32
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
    until(lambda: FINAL.issuperset(asyncio.run(states(box, "shared"))), "both flow runs have ended")
    assert sorted(map(str, asyncio.run(states(box, "shared")))) == ["Completed", "Crashed"]
    (found,) = rows(store, COUNTS)
    assert found["rollouts"] == found["different"] == 60 * 33
    assert found["calls"] == found["different_calls"]
    assert found["scores"] == found["steps"]
    assert orphans(store) == []
