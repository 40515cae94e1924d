"""Reports of flow runs for a Prefect server, and the notes in a store of reports that it has not received."""

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
    """A flow run's report for a server; `flow_run_id` is the server's id, null before the server knows the run."""

    api: str
    flow: str
    name: str
    parameters: dict[str, Any]
    flow_run_id: UUID | None
    type: StateType = StateType.PENDING
    state: str = "Pending"
    message: str | None = None


async def send(report: FlowRunReport, client: PrefectClient) -> bool:
    """Send a report, whatever state the server has for the run; returns whether the server received it."""
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
        except ObjectNotFound:  # the server has a new database by now
            pass
    flow_id = await client.create_flow_from_name(report.flow)
    created = FlowRunCreate(flow_id=flow_id, name=report.name, parameters=report.parameters)
    reply = await client.request("POST", "/flow_runs/", json=created.model_dump(mode="json", exclude_unset=True))
    report.flow_run_id = FlowRun.model_validate(reply.json()).id
    await client.set_flow_run_state(report.flow_run_id, state, force=True)


def kept_reports(store: Store, say: Say) -> Iterator[tuple[Path, FlowRunReport]]:
    """The notes of a store; one that cannot be read is reported and skipped."""
    for path in notes(store):
        try:
            yield path, FlowRunReport.model_validate(read_json(path))
        except (StorageError, ValidationError):
            say(f"{path}, a note for the Prefect server on how a run ended, cannot be read: delete it.")
