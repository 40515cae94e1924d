"""The box of docker-compose.yml without containers: Postgres, Prefect, model servers, a worker and a schedule."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from composed import ROOT, Box, postgres_folder, until
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.kill import COUNTS, orphans, rows
from overthink.tasks.recipes.loading import read_recipe

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(postgres_folder() is None, reason="Postgres is missing: apt-get install postgresql"),
]
PROBLEMS, N = 12, 4


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    recipe = tmp_path_factory.mktemp("recipes") / "small.yaml"
    box = Box("cpu", POSTGRES_PASSWORD="only-for-this-test", OVERTHINK_RECIPE=str(recipe), OVERTHINK_CRON="* * * * *")
    try:
        value = yaml.safe_load(box.local((ROOT / "recipes" / "nightly.yaml").read_text(encoding="utf-8")))
        value["problems"]["count"] = PROBLEMS
        value["methods"][1]["n"] = N
        recipe.write_text(yaml.safe_dump(value | {"budgets": [1, N]}))
        box.up()
        yield box
    finally:
        box.down()


@pytest.fixture
def client(box: Box) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: box.api}), get_client(sync_client=True) as client:
        yield client


def first_run(client: SyncPrefectClient, deployment: str) -> FlowRun | None:
    """The first run of a deployment that has begun."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    begun = [run for run in client.read_flow_runs(deployment_filter=named) if run.start_time is not None]
    return min(begun, key=lambda run: str(run.start_time), default=None)


def ended(client: SyncPrefectClient, flow_run_id: UUID) -> FlowRun | None:
    run = client.read_flow_run(flow_run_id)
    return run if run.state is not None and run.state.is_final() else None


def test_a_scheduled_run_goes_to_its_end_and_its_results_are_in_the_store(box: Box, client: SyncPrefectClient) -> None:
    assert box.ended("schedule-cpu") == 0, box.log("schedule-cpu")
    first = until(lambda: first_run(client, "nightly"), "the schedule starts a run")
    client.pause_deployment(first.deployment_id)  # it would start one a minute, as long as this file takes
    run = until(lambda: ended(client, first.id), "it ends")
    assert run.state.is_completed(), f"{run.state.message}\n{box.log('worker-cpu')}"
    assert run.auto_scheduled
    (stored,) = rows(box.store, "SELECT * FROM runs")
    assert (stored["name"], stored["status"]) == ("nightly", "complete")
    (found,) = rows(box.store, COUNTS)
    assert found["rollouts"] == PROBLEMS * (N + 1)
    assert found["scores"] == found["steps"]
    assert found["calls"] == found["different_calls"]
    graded = rows(box.store, "SELECT avg(accuracy) AS mean FROM summary WHERE selector IN ('greedy', 'majority')")
    assert 0 < graded[0]["mean"] < 1, "the servers' models do solve some chains"


def deployed(box: Box, name: str, folder: Path) -> Path:
    """Deploy a slow recipe; returns its store."""
    recipe = read_recipe(ROOT / "recipes" / "smoke.yaml").model_dump(mode="json")
    recipe["name"] = name
    recipe["policy"]["latency_ms"] = recipe["prm"]["latency_ms"] = 1000
    recipe["problems"]["count"], recipe["methods"][1]["n"] = 60, 32
    written = folder / f"{name}.yaml"
    written.write_text(yaml.safe_dump(recipe))
    store = box.folder / f"{name}-store"
    words = ["overthink", "deploy", str(written), "--name", name, "--store", str(store)]
    assert box.run("schedule-cpu", words).returncode == 0
    return store


def begun(store: Path, name: str) -> Path:
    """Wait until a run asks its engines; returns its lock."""

    def lock() -> Any:
        return list(store.glob("stages/*/journals/*.sqlite")) and list(store.glob(f"runs/{name}-*/lock"))

    (found,) = until(lock, "the run asks its engines")
    return Path(found)


def test_a_run_that_is_killed_is_taken_up_by_the_next_one(box: Box, client: SyncPrefectClient, tmp_path: Path) -> None:
    """The deployment has a slow recipe; kill -9 hits the process that runs it, and the worker lives on."""
    store = deployed(box, "slow", tmp_path)
    deployment = client.read_deployment_by_name("evaluate/slow")
    victim = client.create_flow_run_from_deployment(deployment.id)
    lock = begun(store, "slow")
    time.sleep(3)
    os.kill(json.loads(lock.read_text())["pid"], signal.SIGKILL)
    killed_at = time.time()
    assert until(lambda: ended(client, victim.id), "the worker tells of the death").state.is_crashed()
    successor = client.create_flow_run_from_deployment(deployment.id)
    assert until(lambda: ended(client, successor.id), "it ends").state.is_completed(), box.log("worker-cpu")
    (found,) = rows(store, COUNTS)
    assert found["rollouts"] == found["different"] == 60 * 33
    assert found["calls"] == found["different_calls"], "no call was made twice"
    before = rows(store, f"SELECT count(*) AS calls FROM calls WHERE epoch(started_at) < {killed_at}")
    assert before[0]["calls"] > 0, "what the killed run had asked was not asked again"
    assert orphans(store) == []
