"""What a Prefect server should know of a flow run, and the notes in a store of what it has not heard."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ValidationError

from overthink.flows.orchestration.untold import notes
from overthink.storage.files import read_json
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.stages.prefect_faults import FAULTS, fault_of, is_away

Say = Callable[[str], None]


class FlowRunReport(BaseModel):
    """What a server should know of a flow run; `flow_run_id` is its name for it, null before it has heard of it."""

    api: str
    flow: str
    name: str
    parameters: dict[str, Any]
    flow_run_id: UUID | None
    type: StateType = StateType.PENDING
    state: str = "Pending"
    message: str | None = None


async def send(report: FlowRunReport, client: PrefectClient) -> bool:
    """Bring a server up to date, whatever it takes the run for; whether it is there to hear it."""
    if await fault_of(client) is not None:
        return False
    try:
        await _send(report, client)
    except FAULTS as error:
        if not is_away(error):
            raise
        return False
    return True


async def _send(report: FlowRunReport, client: PrefectClient) -> None:
    state: State[Any] = State(type=report.type, name=report.state, message=report.message)
    if report.flow_run_id is not None:
        try:
            await client.set_flow_run_state(report.flow_run_id, state, force=True)
            await client.set_flow_run_name(report.flow_run_id, report.name)
            return
        except ObjectNotFound:  # its database is another one by now
            pass
    flow_id = await client.create_flow_from_name(report.flow)
    created = FlowRunCreate(flow_id=flow_id, name=report.name, parameters=report.parameters)
    reply = await client.request("POST", "/flow_runs/", json=created.model_dump(mode="json", exclude_unset=True))
    report.flow_run_id = FlowRun.model_validate(reply.json()).id
    await client.set_flow_run_state(report.flow_run_id, state, force=True)


def kept_reports(store: Store, say: Say) -> Iterator[tuple[Path, FlowRunReport]]:
    """The notes of a store; one that cannot be read is no reason to stop a run."""
    for path in notes(store):
        try:
            yield path, FlowRunReport.model_validate(read_json(path))
        except (StorageError, ValidationError):
            say(f"{path} should tell the Prefect server how a run ended, and cannot be read: delete it.")
