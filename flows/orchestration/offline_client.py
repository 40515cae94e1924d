"""Prefect is told how a run fares, and no run depends on it: what its server cannot hear is told when it is back.

The flow engine asks its client for four things on the way. Where the server is away they are answered here, and the
run's last state is kept: told as soon as the server answers again, or, where the run has ended by then, by the next run
into the same store.
"""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus, StateAcceptDetails
from prefect.context import AsyncClientContext
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings
from pydantic import BaseModel, ValidationError

from overthink.storage.files import read_json, write_json
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.stages.prefect_faults import ALONE, FAULTS, fault_of, is_away, refuse_others, words_for

TRIED_EVERY = 30.0  # seconds between attempts to tell a server that is away
Say = Callable[[str], None]
Reply = TypeVar("Reply")


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


class PatientClient(PrefectClient):
    """Prefect's client for one flow run, which goes on while the server is away.

    An end that the server has not heard of lies in `note`.
    """

    def __init__(self, api: str, say: Say, note: Path, **how: Any) -> None:
        super().__init__(api, **how)
        self.address = api
        self.note = note
        self.report: FlowRunReport | None = None
        self.away = False
        self._say = say
        self._said = False
        self._flow_run: FlowRun | None = None
        self._watch: asyncio.Task[None] | None = None

    async def raise_for_api_version_mismatch_once(self) -> None:
        """Prefect's first question to a server: is it one, and of our version?"""
        fault = await fault_of(self)
        if fault is not None:
            self._missed(fault)

    async def create_flow_run(self, flow: Any, *arguments: Any, **details: Any) -> FlowRun:
        """The server's flow run, or one of our own until the server is back."""

        async def create() -> FlowRun:
            return await PrefectClient.create_flow_run(self, flow, *arguments, **details)

        parameters = dict(details.get("parameters") or {})
        created = await self._unless_away(create)
        run = created or FlowRun(id=uuid4(), flow_id=uuid4(), parameters=parameters, state=details.get("state"))
        known_as = None if created is None else created.id
        self._flow_run = run
        self.report = FlowRunReport(
            api=self.address, flow=flow.name, name=run.name, parameters=parameters, flow_run_id=known_as
        )
        return run

    async def set_flow_run_name(self, flow_run_id: UUID, name: str) -> httpx.Response:  # noqa: ARG002
        """See Prefect; the reply is of no use to the engine."""
        report = self._own_report()
        report.name = name

        async def rename() -> httpx.Response:
            assert report.flow_run_id is not None
            return await PrefectClient.set_flow_run_name(self, report.flow_run_id, name)

        return await self._unless_away(rename) or httpx.Response(204)

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:  # noqa: ARG002
        """See Prefect; our own copy where the server is away."""
        report = self._own_report()

        async def read() -> FlowRun:
            assert report.flow_run_id is not None
            return await PrefectClient.read_flow_run(self, report.flow_run_id)

        assert self._flow_run is not None
        return await self._unless_away(read) or self._flow_run

    async def set_flow_run_state(
        self,
        flow_run_id: UUID | str,  # noqa: ARG002
        state: State[Any],
        force: bool = False,
    ) -> OrchestrationResult[Any]:
        """What the server says to a state; where it is away the state is accepted, and kept."""
        report = self._own_report()
        report.type, report.state, report.message = state.type, state.name or state.type.value.title(), state.message

        async def set_state() -> OrchestrationResult[Any]:
            assert report.flow_run_id is not None
            return await PrefectClient.set_flow_run_state(self, report.flow_run_id, state, force=force)

        heard = await self._unless_away(set_state)
        if heard is not None:
            return heard
        if state.is_final():  # now, as Prefect lets SIGTERM end the process right after it
            try:
                write_json(self.note, report.model_dump(mode="json"))
            except StorageError as error:
                self._say(f"The Prefect server will never hear of this run's end: {error}")
        assert self._flow_run is not None
        self._flow_run.state = State(type=state.type, name=state.name, message=state.message)
        return OrchestrationResult(
            state=self._flow_run.state, status=SetStateStatus.ACCEPT, details=StateAcceptDetails()
        )

    async def catch_up(self) -> bool:
        """Tell the server what it missed; whether it has heard all there is."""
        if self.away and self.report is not None:
            if not await told(self, self.report):
                return False
            self.away = False
            self.note.unlink(missing_ok=True)
            EventsWorker.set_client_override(None)
            self._say(f"The Prefect server at {self.address} is back, and has been told: {self.report.state}.")
        return not self.away

    async def stop_watching(self) -> None:
        """No more attempts in the background."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _unless_away(self, ask: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply | None:
        """The server's reply, or None where it is away."""
        if self.away:
            return None
        try:
            return await ask()
        except FAULTS as error:
            if not is_away(error):
                raise
            self._missed(error)
            return None

    def _missed(self, error: Exception) -> None:
        self.away = True
        drop_events()
        if not self._said:
            self._say(
                f"The Prefect server at {self.address} does not answer ({words_for(error)}). The run goes on "
                "without it; its state is told when the server is back."
            )
            self._said = True
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_trying())

    async def _keep_trying(self) -> None:
        while self.away:
            await asyncio.sleep(TRIED_EVERY)
            await self.catch_up()

    def _own_report(self) -> FlowRunReport:
        assert self.report is not None, "the engine creates its flow run first"
        return self.report


def drop_events() -> None:
    """Nobody hears Prefect's events now; each would be tried for 8 s, and the process not end before the last."""
    EventsWorker.set_client_override(NullEventsClient)
    for worker in list(EventsWorker._instances.values()):  # type: ignore[misc]
        if isinstance(worker, EventsWorker):
            with suppress(queue.Empty):
                while True:
                    worker._queue.get_nowait()
                    worker._queue.task_done()


async def told(client: PrefectClient, report: FlowRunReport) -> bool:
    """Bring a server up to date, whatever it takes the run for; whether it is there to hear it."""
    if await fault_of(client) is not None:
        return False
    try:
        await _tell(client, report)
    except FAULTS as error:
        if not is_away(error):
            raise
        return False
    return True


async def _tell(client: PrefectClient, report: FlowRunReport) -> None:
    state: State[Any] = State(type=report.type, name=report.state, message=report.message)
    if report.flow_run_id is not None:
        try:
            await PrefectClient.set_flow_run_state(client, report.flow_run_id, state, force=True)
            await PrefectClient.set_flow_run_name(client, report.flow_run_id, report.name)
            return
        except ObjectNotFound:  # its database is another one by now
            pass
    flow_id = await client.create_flow_from_name(report.flow)
    created = FlowRunCreate(flow_id=flow_id, name=report.name, parameters=report.parameters)
    reply = await client.request("POST", "/flow_runs/", json=created.model_dump(mode="json", exclude_unset=True))
    report.flow_run_id = FlowRun.model_validate(reply.json()).id
    await PrefectClient.set_flow_run_state(client, report.flow_run_id, state, force=True)


async def told_to_prefect(store: Store, run_id: str, flow: Callable[[], Coroutine[Any, Any, object]], say: Say) -> None:
    """Run a flow whether or not the server that PREFECT_API_URL names is there.

    An end that it has not heard of is kept in the run's folder.
    """
    async with _patient_client(say, store.run_folder(run_id)) as client:
        if client is None:  # Prefect starts a server of its own, which ends with us
            await flow()
            return
        await _tell_kept(client, store, say)
        try:
            with temporary_settings(ALONE if client.away else {}):
                await flow()
        finally:
            await client.stop_watching()
            if not await client.catch_up() and client.note.exists() and client.report is not None:
                say(f"The Prefect server has not heard that the run is {client.report.state}: the next run tells it.")


async def tell_what_was_kept(store: Store, say: Say) -> None:
    """Tell the server what it could not be told when earlier runs into this store ended."""
    if any(_kept(store)):
        async with _patient_client(say, store.root) as client:
            if client is not None:
                await _tell_kept(client, store, say)


@asynccontextmanager
async def _patient_client(say: Say, folder: Path) -> AsyncIterator[PatientClient | None]:
    """The client that every part of Prefect uses inside the block; None where no server is named."""
    address = PREFECT_API_URL.value()
    if not address:
        yield None
        return
    note = folder / f"untold-{uuid4()}.json"
    client = PatientClient(
        address,
        say,
        note,
        auth_string=PREFECT_API_AUTH_STRING.value(),
        api_key=PREFECT_API_KEY.value(),
        httpx_settings={"event_hooks": {"response": [refuse_others]}},
    )
    async with AsyncClientContext.model_construct(client=client):
        yield client


async def _tell_kept(client: PatientClient, store: Store, say: Say) -> None:
    for path in _kept(store):
        try:
            report = FlowRunReport.model_validate(read_json(path))
        except (StorageError, ValidationError):  # a note for Prefect is no reason to stop a run
            say(f"{path} should tell the Prefect server how a run ended, and cannot be read: delete it.")
            continue
        if client.away or report.api != client.address:
            continue
        if await told(client, report):
            path.unlink(missing_ok=True)


def _kept(store: Store) -> list[Path]:
    return sorted((store.root / "runs").glob("*/untold-*.json"))
