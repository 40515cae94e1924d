"""Deployments against a Prefect server: what is registered, what a worker is given, and what is told of mistakes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from conftest import recipe_of
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema
from strange_server import REPLIES, strange_server
from typer.testing import CliRunner, Result

from overthink.flows.commands import doctor_findings
from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration.deployments import ask_for_runs, finished, flow_parameters
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import UserError
from overthink.tasks.json_schema import as_choices
from overthink.tasks.recipes.loading import find_recipe, read_recipe
from overthink.tasks.recipes.recipe import Recipe

ROOT = Path(__file__).parents[2]
POOL = "test-pool"
PREFECT = Path(sys.executable).parent / "prefect"
NIGHTLY = ["--cron", "0 3 * * *", "--timezone", "Europe/London"]


@pytest.fixture(scope="module", autouse=True)
def pool(real_prefect_server: str) -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))


@pytest.fixture
def client(real_prefect_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@contextmanager
def server_at(address: str | None) -> Iterator[None]:
    with temporary_settings(updates={PREFECT_API_URL: address}, restore_defaults={PREFECT_API_URL}):
        yield


def overthink(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def deploy(*words: str) -> Result:
    result = overthink("deploy", "smoke", "--pool", POOL, *words)
    assert result.exit_code == 0, result.output
    return result


def execute(flow_run_id: Any, address: str, cwd: Path) -> None:
    """What a process worker does with a run, in a folder of its own."""
    environment = os.environ | {"PREFECT_API_URL": address}
    subprocess.run([PREFECT, "flow-run", "execute", str(flow_run_id)], cwd=cwd, env=environment, timeout=300)


def test_a_recipe_becomes_a_deployment_with_its_schedule(client: SyncPrefectClient, tmp_path: Path) -> None:
    result = deploy("--store", str(tmp_path), "--set", "problems.count=3", *NIGHTLY)
    found = client.read_deployment_by_name("evaluate/smoke")
    assert str(found.id) in result.output, "its page is printed"
    assert "overthink run smoke --deployment smoke" in result.output
    assert found.work_pool_name == POOL
    assert found.parameters["store"] == str(tmp_path)
    assert Recipe.model_validate(found.parameters["recipe"]).problems.count == 3
    ((cron, timezone),) = [(s.schedule.cron, s.schedule.timezone) for s in found.schedules]
    assert (cron, timezone) == ("0 3 * * *", "Europe/London")


def test_a_store_in_a_bucket_is_the_same_for_every_worker(client: SyncPrefectClient) -> None:
    deploy("--store", "s3://bucket/prefix", "--name", "in-a-bucket")
    assert client.read_deployment_by_name("evaluate/in-a-bucket").parameters["store"] == "s3://bucket/prefix"


def test_deployed_again_the_later_word_holds(client: SyncPrefectClient, tmp_path: Path) -> None:
    deploy("--store", str(tmp_path), "--name", "twice", *NIGHTLY)
    deploy("--store", str(tmp_path / "other"), "--name", "twice", "--cron", "30 4 * * 1")
    found = client.read_deployment_by_name("evaluate/twice")
    assert [(s.schedule.cron, s.schedule.timezone) for s in found.schedules] == [("30 4 * * 1", "UTC")]
    assert found.parameters["store"] == str(tmp_path / "other")
    deploy("--store", str(tmp_path), "--name", "twice")
    assert client.read_deployment_by_name("evaluate/twice").schedules == []


def test_a_run_is_handed_over_and_done_from_plain_json(
    client: SyncPrefectClient, real_prefect_server: str, tmp_path: Path
) -> None:
    deploy("--store", str(tmp_path / "store"), "--name", "handed")
    result = overthink("run", "smoke", "--set", "problems.count=4", "--deployment", "handed")
    assert result.exit_code == 0, result.output
    flow_run_id = result.output.split()[-1].rpartition("/")[2]
    assert f"/runs/flow-run/{flow_run_id}" in "".join(result.output.split())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    execute(flow_run_id, real_prefect_server, elsewhere)
    flow_run = client.read_flow_run(flow_run_id)
    assert flow_run.state is not None
    assert flow_run.state.is_completed(), flow_run.state.message
    assert flow_run.name == "evaluate smoke"
    counted = query(Store(tmp_path / "store"), "SELECT count(*) AS problems FROM problems").to_pylist()
    assert counted == [{"problems": 4}], "into the deployment's store, with the changes of the command"
    assert list(elsewhere.iterdir()) == []


def test_a_deployment_of_version_0_1_is_to_be_registered_again(client: SyncPrefectClient, tmp_path: Path) -> None:
    """Its flow was `flows.evaluate.evaluate`, which no worker finds any more."""

    def told() -> list[str]:
        return [f"{found.level} {found.place} {found.what}" for found in doctor_findings._prefect()]

    deploy("--store", str(tmp_path), "--name", "of-0-1")
    deployment = client.read_deployment_by_name("evaluate/of-0-1")
    client.update_deployment(deployment.id, DeploymentUpdate(entrypoint="flows.evaluate.evaluate"))
    result = overthink("run", "smoke", "--deployment", "of-0-1")
    assert result.exit_code == 2
    assert "deployment of-0-1 is of version 0.1" in result.stderr
    assert "register its recipe again, `overthink deploy RECIPE --name of-0-1`" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert any(line.startswith("broken deployment of-0-1 is of version 0.1") for line in told())
    deploy("--store", str(tmp_path), "--name", "of-0-1")
    assert not any("of-0-1" in line for line in told())
    assert overthink("run", "smoke", "--deployment", "of-0-1").exit_code == 0


def test_several_workers_share_a_run_that_is_handed_over(
    client: SyncPrefectClient, real_prefect_server: str, tmp_path: Path
) -> None:
    """Two processes, as two workers of the pool start them; on a schedule both begin at the same time."""
    deploy("--store", str(tmp_path / "store"), "--name", "together", "--workers", "2", *NIGHTLY)
    found = client.read_deployment_by_name("evaluate/together")
    assert found.parameters["shared"] is True
    assert [s.schedule.cron for s in found.schedules] == ["0 3 * * *"] * 2
    slow = ["--set", "policy.latency_ms=500", "--set", "shard_size=1"]
    result = overthink("run", "smoke", *slow, "--deployment", "together", "--workers", "2")
    assert result.exit_code == 0, result.output
    addresses = [word for word in result.output.split() if "/runs/flow-run/" in word]
    environment = os.environ | {"PREFECT_API_URL": real_prefect_server}
    flow_run_ids = [address.rpartition("/")[2] for address in addresses]
    commands = [[PREFECT, "flow-run", "execute", flow_run_id] for flow_run_id in flow_run_ids]
    workers = [subprocess.Popen(command, cwd=tmp_path, env=environment) for command in commands]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    states = [client.read_flow_run(UUID(flow_run_id)).state for flow_run_id in flow_run_ids]
    assert [state is not None and state.is_completed() for state in states] == [True, True]
    counts = "SELECT count(*) AS calls, count(DISTINCT call_key) AS different FROM calls"
    (calls,) = query(Store(tmp_path / "store"), counts).to_pylist()
    assert calls["calls"] == calls["different"] > 0


def test_a_mistake_that_no_schema_sees_fails_the_run_with_its_remedy(
    client: SyncPrefectClient, real_prefect_server: str, fake_recipe: dict[str, Any], tmp_path: Path
) -> None:
    deploy("--store", str(tmp_path), "--name", "refused")
    parameters = {"recipe": recipe_of(fake_recipe).model_dump(mode="json") | {"budgets": [99]}}
    (flow_run,) = asyncio.run(ask_for_runs("refused", parameters))
    execute(flow_run.id, real_prefect_server, tmp_path)
    state = client.read_flow_run(flow_run.id).state
    assert state is not None
    assert state.is_failed()
    assert "budget 99 is more than the 8 rollouts of any method: raise n" in str(state.message)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"polcy": {}}, "'polcy' was unexpected"),
    "missing engine": ({"policy": {"model": "x"}}, "recipe.policy'. Failure reason: 'engine' is a required"),
    "unknown engine": ({"policy": {"engine": "vlm"}}, "recipe.policy"),
    "not a number": ({"budgets": ["many"]}, "'many' is not of type 'integer'"),
    "out of range": ({"shard_size": 0}, "0 is less than the minimum of 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_server_refuses_parameters_that_are_no_recipe(
    name: str, fake_recipe: dict[str, Any], tmp_path: Path
) -> None:
    changes, message = WRONG[name]
    deploy("--store", str(tmp_path), "--name", "guarded")
    with pytest.raises(UserError, match="refuses: ") as told:
        asyncio.run(ask_for_runs("guarded", {"recipe": recipe_of(fake_recipe).model_dump(mode="json") | changes}))
    assert message in str(told.value)


@pytest.mark.parametrize(("end", "exit_code"), [("COMPLETED", 0), ("CRASHED", 1)])
def test_waiting_ends_with_the_run(
    end: str, exit_code: int, client: SyncPrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended_meanwhile(flow_run: FlowRun) -> State[Any]:
        client.set_flow_run_state(flow_run.id, State(type=end, message="as told"), force=True)
        return await finished(flow_run)

    monkeypatch.setattr("overthink.flows.orchestration.deployments.finished", ended_meanwhile)
    deploy("--store", str(tmp_path), "--name", "awaited")
    result = overthink("run", "smoke", "--deployment", "awaited", "--wait")
    assert result.exit_code == exit_code
    assert f"{end.title()}: as told" in result.output


def test_the_deployments_of_prefect_yaml_are_registered(client: SyncPrefectClient, real_prefect_server: str) -> None:
    client.create_work_pool(WorkPoolCreate(name="overthink", type="process"))
    told = subprocess.run(
        [PREFECT, "--no-prompt", "deploy", "--all"],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": real_prefect_server},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    found = client.read_deployment_by_name("evaluate/demo")
    assert Recipe.model_validate(found.parameters["recipe"]) == read_recipe(find_recipe("demo"))
    assert [(s.schedule.cron, s.schedule.timezone) for s in found.schedules] == [("0 3 * * *", "UTC")]


MISTAKES = {
    "bad cron": (["deploy", "smoke", "--store", "/s", "--cron", "0 25 * * *"], "--cron: '0 25 * * *' cannot be read"),
    "bad zone": (["deploy", "smoke", "--store", "/s", *NIGHTLY[:2], "--timezone", "Mars"], "--timezone: 'Mars' cannot"),
    "no pool": (["deploy", "smoke", "--store", "/s", "--pool", "no"], "prefect work-pool create no --type process"),
    "relative store": (["deploy", "smoke", "--store", "s"], "--store: s is relative"),
    "relative file": (
        ["deploy", "smoke", "--store", "/s", "--set", "problems={source: file, path: p.jsonl}"],
        "problems.path: p.jsonl is relative",
    ),
    "no deployment": (["run", "smoke", "--deployment", "no"], "there is no deployment 'no' (there: "),
    "waiting for nothing": (["run", "smoke", "--wait"], "name a --deployment"),
    "workers of nobody": (["run", "smoke", "--workers", "2"], "start the same command with --shared"),
    "another kind": (["deploy", "prm-eval", "--store", "/s"], "it is one of `overthink prm-eval`"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_the_remedy_and_exits_with_2(name: str) -> None:
    words, message = MISTAKES[name]
    result = overthink(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["deploy", "smoke", "--store", "/s"], ["run", "smoke", "--deployment", "smoke"]])
def test_without_a_server_its_address_is_asked_for(words: list[str]) -> None:
    with server_at(None):
        result = overthink(*words)
    assert result.exit_code == 2
    assert "PREFECT_API_URL names none: start one with `prefect server start`" in result.stderr
    with server_at("http://127.0.0.1:9/api"):
        result = overthink(*words)
    assert result.exit_code == 2
    assert "no Prefect server answers at http://127.0.0.1:9/api" in result.stderr


@pytest.mark.parametrize("words", [["deploy", "smoke", "--store", "/s"], ["run", "smoke", "--deployment", "smoke"]])
@pytest.mark.parametrize("answer", ["a page", "another API", "a word"])
def test_another_at_the_servers_address_is_told_in_one_message(answer: str, words: list[str]) -> None:
    with strange_server(REPLIES[answer]) as port, server_at(f"http://127.0.0.1:{port}"):
        result = overthink(*words)
    assert result.exit_code == 2
    assert f"no Prefect server answers at http://127.0.0.1:{port} (what answers there is not" in result.stderr


def test_parameters_are_plain_json_and_leave_the_store_to_the_deployment(fake_recipe: dict[str, Any]) -> None:
    recipe = recipe_of(fake_recipe)
    parameters = flow_parameters(recipe, None, skip_bad_rows=True)
    assert set(parameters) == {"recipe", "skip_bad_rows"}
    assert Recipe.model_validate(json.loads(json.dumps(parameters))["recipe"]) == recipe


def test_the_form_of_a_deployment_offers_every_choice() -> None:
    schema = parameter_schema(evaluate).model_dump()
    assert "oneOf" not in json.dumps(schema)
    recipe = schema["definitions"]["Recipe"]["properties"]
    engines = [choice.get("$ref", choice.get("type")) for choice in recipe["prm"]["anyOf"]]
    assert engines[0] == "#/definitions/VllmPrmConfig"
    assert engines[-1] == "null"
    assert recipe["methods"]["items"]["required"] == ["method"]


def test_choices_are_named_once_and_one_level_deep() -> None:
    inner = {"oneOf": [{"$ref": "a"}, {"$ref": "b"}], "discriminator": {"propertyName": "kind", "mapping": {}}}
    assert as_choices({"anyOf": [inner, {"type": "null"}], "title": "T"}) == {
        "anyOf": [{"$ref": "a"}, {"$ref": "b"}, {"type": "null"}],
        "required": ["kind"],
        "title": "T",
    }
