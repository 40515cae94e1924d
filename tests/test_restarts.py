"""Postgres and a Prefect server over it, as docker-compose.yml starts them, killed and started again under a run."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from composed import BIN, Box, postgres_folder, until
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks.kill import COUNTS, rows

pytestmark = pytest.mark.skipif(postgres_folder() is None, reason="Postgres is missing: apt-get install postgresql")


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
