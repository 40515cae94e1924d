"""Deployments: the flow `evaluate` on a Prefect server, run by workers on a schedule or on demand."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect import Flow
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.utilities.callables import parameter_schema
from prefect.utilities.urls import url_for
from pydantic import ValidationError

from overthink.storage.opening import is_in_bucket
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.prefect_faults import fault_of, words_for

FLOW = "evaluate"
ENTRYPOINT = "overthink.flows.evaluate.evaluate"
OF_0_1 = "flows.evaluate.evaluate"  # the entry point of version 0.1's deployments; that package no longer exists
POLL_SECONDS = 2
OURS = FlowFilter(name=FlowFilterName(any_=[FLOW]))


def flow_parameters(recipe: Recipe, store: str | None, skip_bad_rows: bool, workers: int = 1) -> dict[str, Any]:
    """The flow's parameters as plain JSON; without a store the deployment's own is used. Several workers share a run.

    Raises UserError for a relative path: a worker has another working folder, and may be another machine.
    """
    places = [] if store is None or is_in_bucket(store) else [("--store", Path(store))]
    for key, path in [*_paths(recipe.model_dump(), ""), *places]:
        if not path.is_absolute():
            raise UserError(f"{key}: {path} is relative, but a worker runs in another folder: write the absolute path")
    parameters: dict[str, Any] = {"recipe": recipe.model_dump(mode="json"), "skip_bad_rows": skip_bad_rows}
    if workers > 1:
        parameters["shared"] = True
    return parameters if store is None else parameters | {"store": store}


def cron_schedule(cron: str, timezone: str) -> CronSchedule:
    """A cron schedule in a time zone. Raises UserError where either is invalid."""
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        key = error.errors()[0]["loc"][0]
        wrong, example = (cron, "'0 3 * * *'") if key == "cron" else (timezone, "Europe/London")
        raise UserError(f"--{key}: {wrong!r} cannot be read; write it as in {example}") from error


async def register(
    flow: Flow[..., Any],
    name: str,
    pool: str,
    parameters: dict[str, Any],
    schedule: CronSchedule | None,
    workers: int = 1,
) -> str:
    """Deploy `evaluate` to the workers of a pool, replacing an earlier deployment of that name; returns its URL.

    The schedule is registered once for each of `workers`, so that they start at the same time.
    Raises UserError where there is no server, no such pool, or the server refuses the parameters.
    """
    async with _server() as client:
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound as error:
            pools = [found.name for found in await client.read_work_pools()]
            raise UserError(
                f"there is no work pool {pool!r} ({_listed(pools)}): `prefect work-pool create {pool} --type process`"
            ) from error
        deployment_id = await client.create_deployment(
            flow_id=await client.create_flow(flow),
            name=name,
            entrypoint=ENTRYPOINT,
            work_pool_name=pool,
            parameters=parameters,
            parameter_openapi_schema=parameter_schema(flow).model_dump(),
            enforce_parameter_schema=True,
            schedules=[]
            if schedule is None
            else [DeploymentScheduleCreate(schedule=schedule, slug=f"worker-{number}") for number in range(workers)],
            description=flow.description,
        )
    return str(url_for("deployment", deployment_id))


async def ask_for_runs(name: str, parameters: dict[str, Any], workers: int = 1) -> list[FlowRun]:
    """Start a run of a deployment now, with `workers` workers; `parameters` override the deployment's own.

    Raises UserError where there is no server, no such deployment, one that no worker can run any more, or the server
    refuses the parameters.
    """
    async with _server() as client:
        try:
            deployment = await client.read_deployment_by_name(f"{FLOW}/{name}")
        except ObjectNotFound as error:
            names = [found.name for found in await client.read_deployments(flow_filter=OURS)]
            raise UserError(
                f"there is no deployment {name!r} ({_listed(names)}): register one with `overthink deploy`"
            ) from error
        if deployment.entrypoint == OF_0_1:
            raise UserError(f"deployment {name} {_of_0_1()}: {_again(name)}")
        return [
            await client.create_flow_run_from_deployment(deployment.id, parameters=parameters) for _ in range(workers)
        ]


def old_deployments(client: SyncPrefectClient) -> list[tuple[str, str, str]]:
    """The deployments that no worker can run any more: for each its name, what is wrong, and the remedy."""
    names = [found.name for found in client.read_deployments(flow_filter=OURS) if found.entrypoint == OF_0_1]
    return [(name, _of_0_1(), _again(name)) for name in sorted(names)]


async def finished(flow_run: FlowRun) -> State[Any]:
    """Wait for a run to end; returns its final state."""
    async with _server() as client:
        while True:
            state = (await client.read_flow_run(flow_run.id)).state
            if state is not None and state.is_final():
                return state
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _server() -> AsyncIterator[PrefectClient]:
    address = PREFECT_API_URL.value()
    if not address:
        raise UserError(
            "deployments live on a Prefect server, and PREFECT_API_URL names none: start one with "
            "`prefect server start` and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    try:
        async with get_client() as client:
            fault = await fault_of(client)
            if fault is not None:
                raise UserError(_no_server(address, words_for(fault))) from fault
            yield client
    except PrefectHTTPStatusError as error:
        raise UserError(f"the Prefect server at {address} refuses: {_detail(error)}") from error
    except (httpx.TransportError, RuntimeError) as error:
        raise UserError(_no_server(address, str(error))) from error


def _of_0_1() -> str:
    return f"is of version 0.1, whose flow `{OF_0_1}` no worker finds any more"


def _again(name: str) -> str:
    return f"register its recipe again, `overthink deploy RECIPE --name {name}`"


def _no_server(address: str, why: str) -> str:
    return f"no Prefect server answers at {address} ({why}): start it, or mend PREFECT_API_URL"


def _detail(error: PrefectHTTPStatusError) -> str:
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error)


def _paths(value: Any, key: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _paths(child, f"{key}.{name}".lstrip("."))


def _listed(names: list[str]) -> str:
    return f"there: {', '.join(sorted(names))}" if names else "there is none"
