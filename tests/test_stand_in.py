"""What stands in for Prefect's server: a flow runs as it does with one, and nothing of it is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from prefect import flow, task
from prefect.context import get_run_context
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration.run_flow import run_flow
from overthink.flows.orchestration.secret_blocks import fetch_key
from overthink.flows.orchestration.server import server_address
from overthink.flows.orchestration.stand_in import ApiRequest, StandIn
from overthink.storage.store import Store
from overthink.tasks.engines.engine_config import ServedModelConfig
from overthink.tasks.errors import EngineUnavailable

COMMAND = Path(sys.executable).parent / "overthink"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No server is named."""
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def processes_of(mark: str) -> list[int]:
    """All processes that have `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile, or is not ours
            continue
    return found


def test_what_is_told_is_kept_and_all_else_is_not_there() -> None:
    stand_in = StandIn()

    def ask(method: str, path: str, content: bytes = b"") -> tuple[int, bytes]:
        reply = stand_in.answer(ApiRequest(method, path, content))
        return reply.status_code, bytes(reply.body)

    assert ask("GET", "/flow_runs/1")[0] == ask("GET", "/block_types/slug/secret")[0] == 404
    assert ask("POST", "/deployments/filter", b"{}") == (200, b"[]")
    assert ask("POST", "/flow_runs/", b'{"name": null, "state": {"type": "PENDING"}}')[0] == 201
    (known,) = stand_in.kept["flow_runs"]
    assert ask("PATCH", f"/flow_runs/{known}", b'{"name": "night"}') == (204, b"")
    status, accepted = ask(
        "POST", f"/flow_runs/{known}/set_state", b'{"state": {"type": "RUNNING", "name": "Running"}}'
    )
    assert status == 201 and b'"ACCEPT"' in accepted
    assert b'"night"' in ask("GET", f"/flow_runs/{known}")[1] and b'"RUNNING"' in ask("GET", f"/flow_runs/{known}")[1]


@pytest.mark.usefixtures("nobody")
async def test_a_flow_has_its_name_its_state_and_its_retries(tmp_path: Path) -> None:
    seen: list[str] = []

    @task(retries=2, retry_delay_seconds=0.01)
    async def third_time_lucky() -> None:
        seen.append(str(get_run_context().task_run.run_count))  # type: ignore[union-attr]
        if len(seen) < 3:
            raise OSError("not yet")

    @flow(flow_run_name="night {number}")
    async def night(number: int) -> None:
        await third_time_lucky()
        seen.append(str(flow_run.name))
        assert server_address() is None

    await run_flow(Store(tmp_path), "night", lambda: night(7), seen.append)
    assert seen == ["1", "2", "3", "night 7"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nobody")
async def test_a_flow_that_fails_raises_what_it_raised(tmp_path: Path) -> None:
    @flow
    async def night() -> None:
        raise OSError("too dark")

    for _ in range(2):  # also a second time in the same process
        with pytest.raises(OSError, match="too dark"):
            await run_flow(Store(tmp_path), "night", night, print)


@pytest.mark.usefixtures("nobody")
async def test_a_run_is_whole_and_its_log_holds_no_complaint(
    fake_recipe: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    await run_flow(store, "night", lambda: evaluate(recipe_of(fake_recipe), tmp_path), print)
    assert [run.status for run in store.runs()] == ["complete"]
    assert any("Finished in state Completed" in record.getMessage() for record in caplog.records)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@pytest.mark.usefixtures("nobody")
async def test_a_key_in_a_block_needs_a_server(tmp_path: Path) -> None:
    config = ServedModelConfig.model_construct(model="served", api_key_block="key")

    @flow
    async def night() -> None:
        await fetch_key(config)

    with pytest.raises(EngineUnavailable, match="PREFECT_API_URL names no Prefect server"):
        await run_flow(Store(tmp_path), "night", night, print)
    with pytest.raises(EngineUnavailable, match="PREFECT_API_URL names no Prefect server"):
        await fetch_key(config)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_behind(by: signal.Signals, tmp_path: Path) -> None:
    mark = f"OVERTHINK_TEST_MARK={tmp_path}"
    proxies = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")  # which nothing here goes through
    environment = os.environ | proxies | dict([mark.split("=")])
    environment.pop("PREFECT_API_URL", None)
    words = ["run", "smoke", "--store", str(tmp_path / "store"), "--set", "policy.latency_ms=300000"]
    life = subprocess.Popen([COMMAND, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("store/stages/*/journals/*.sqlite")) and life.poll() is None:
        time.sleep(0.1)
    assert processes_of(mark) == [life.pid], "no process beside it"
    life.send_signal(by)
    assert life.wait(timeout=60) == (143 if by == signal.SIGTERM else -by)
    assert processes_of(mark) == []


async def test_a_server_that_is_there_hears_of_tasks_logs_and_artifacts(
    real_prefect_server: str, fake_recipe: dict[str, Any], tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, LogFilter, LogFilterFlowRunId

    name = f"heard-{tmp_path.name}"
    said: list[str] = []
    await run_flow(Store(tmp_path), "night", lambda: evaluate(recipe_of(fake_recipe, name=name), tmp_path), said.append)
    async with get_client() as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=[f"evaluate {name}"]))
        (run,) = await client.read_flow_runs(flow_run_filter=named)
        assert run.state is not None and run.state.is_completed()
        for _ in range(100):  # the server writes down what it hears in its own time
            tasks = await client.read_task_runs(flow_run_filter=named)
            logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
            if tasks and logs and all(task.state and task.state.is_completed() for task in tasks):
                break
            await asyncio.sleep(0.1)
        artifacts = await client.read_artifacts(flow_run_filter=named)
    assert said == []
    assert {task.name.split()[0] for task in tasks} == {"sample", "score", "grade", "select"}
    assert all(task.state is not None and task.state.is_completed() for task in tasks)
    assert any("Finished in state Completed" in log.message for log in logs)
    assert {artifact.type for artifact in artifacts} >= {"progress", "table", "markdown"}
    told = sorted((str(artifact.key), str(artifact.description)) for artifact in artifacts)
    names = [key.removeprefix(f"{told[0][0].removesuffix('-1-result')}-") for key, _ in told]
    assert names[:2] == ["1-result", "2-figure"] and names[2:4] == ["3-numbers", "4-store"], "in this order by name"
    assert all(name.startswith("stage-") for name in names[4:]) and len(names) > 4
    assert " with fake@" in told[0][1], "the result says of which policy and PRM"
