"""A relay to a Prefect server: replaces it while it is unreachable, and reports to it when it is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.client.schemas.responses import OrchestrationResult
from starlette.responses import Response

from overthink.flows.orchestration.flow_run_reports import FlowRunReport, Say, kept_reports, send
from overthink.flows.orchestration.stand_in import KINDS, VERSION, ApiRequest, StandIn
from overthink.flows.orchestration.untold import note_path
from overthink.storage.files import write_json
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.tasks.stages.prefect_faults import FAULTS, fault_of, is_away, refuse_others, words_for

TRIED_EVERY = 30.0  # seconds between attempts to reach a server
JSON = {"Content-Type": "application/json"}


class Relay(StandIn):
    """Forwards the flow engine's requests; while the server is unreachable, answers them and keeps the last state.

    A final state that the server has not received is kept in `folder` as a note.
    """

    def __init__(self, api: str, client: PrefectClient, folder: Path, say: Say) -> None:
        super().__init__()
        self.away = False
        self._api, self._client, self._folder, self._say = api, client, folder, say
        self._said = False
        self._theirs: dict[str, str] = {}  # the server's ids of flow runs, by the engine's ids

    async def reply(self, request: ApiRequest) -> Response:
        """The server's reply, or our own where it is unreachable."""
        if request.words == VERSION:  # a server of another version has been refused earlier
            return self.answer(request)
        heard = await self._pass_on(request)
        if heard is not None and heard.is_success and request.creates in self.kept:
            thing = self.keep(request.creates, heard.json())
            if request.creates == "flow_runs":
                self._theirs[thing["id"]] = thing["id"]
        else:
            own = self.answer(request)  # this keeps the request, in case the server fails later
            if heard is None or (heard.status_code == 404 and request.method in ("GET", "PATCH")):
                self._note_ends()
                return own
        content = _translated(heard.content, {theirs: ours for ours, theirs in self._theirs.items()})
        return Response(content, heard.status_code, media_type=heard.headers.get("content-type"))

    async def hear(self, event: str) -> None:
        """Forward an event; it is lost where the server is unreachable."""
        await self._pass_on(ApiRequest("POST", "/events", f"[{event}]".encode()))

    async def send_kept(self, store: Store) -> None:
        """Send the notes that earlier runs left in this store."""
        for path, report in kept_reports(store, self._say):
            if report.api == self._api and not self.away and await send(report, self._client):
                path.unlink(missing_ok=True)

    async def watch(self) -> None:
        """Send the server what it missed as soon as it is back."""
        while True:
            await asyncio.sleep(TRIED_EVERY)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Send the server what it missed, if it is back."""
        if not self.away or not self._runs:
            return
        for run_id in self._runs:
            if not await self._send(run_id):
                return
        self.away = False
        states = ", ".join(self._report(run_id).state for run_id in self._runs)
        self._say(f"The Prefect server at {self._api} is back, and has been told: {states}.")

    def say_what_is_left(self) -> None:
        """Report that a final state is kept in a note."""
        for run_id in self._runs:
            if note_path(self._folder, run_id).exists():
                state = self._report(run_id).state
                self._say(f"The Prefect server has not heard that the run is {state}: the next run tells it.")

    def missed(self, error: Exception) -> None:
        """Report, once, that the server is unreachable."""
        self.away = True
        if not self._said:
            self._say(
                f"The Prefect server at {self._api} does not answer ({words_for(error)}). The run goes on "
                "without it; its state is told when the server is back."
            )
            self._said = True

    async def _pass_on(self, request: ApiRequest) -> httpx.Response | None:
        """The server's reply, also a refusal; None where it is unreachable."""
        if self.away:
            return None
        path = _translated(request.path.encode(), self._theirs).decode()
        content = _translated(request.content, self._theirs)
        forward: Any = self._client.request  # typed for Prefect's own routes only
        try:
            heard: httpx.Response = await forward(request.method, path, content=content, headers=JSON)
            _check(request, heard)
            return heard
        except FAULTS as error:
            if isinstance(error, httpx.HTTPStatusError) and not is_away(error):
                return error.response
            self.missed(error)
            return None

    def _note_ends(self) -> None:
        """Keep final states in notes; at once, as Prefect lets SIGTERM end the process right after a final state."""
        for run_id in self._runs if self.away else ():
            report = self._report(run_id)
            if report.type in TERMINAL_STATES:
                try:
                    write_json(note_path(self._folder, run_id), report.model_dump(mode="json"))
                except StorageError as error:
                    self._say(f"The Prefect server will never hear of this run's end: {error}")

    async def _send(self, run_id: str) -> bool:
        told: FlowRunReport | None = None
        while (report := self._report(run_id)) != told:  # the run's state may change during the transfer
            if not await send(report, self._client):
                return False
            self._theirs[run_id] = str(report.flow_run_id)
            told = report
        note_path(self._folder, run_id).unlink(missing_ok=True)
        return True

    def _report(self, run_id: str) -> FlowRunReport:
        run = self._runs[run_id]
        flow = self.kept["flows"][run["flow_id"]]["name"]
        return FlowRunReport(
            api=self._api,
            flow=flow,
            name=run["name"] or flow,  # a flow run gets its name when it starts
            parameters=run["parameters"],
            flow_run_id=self._theirs.get(run_id),
            type=run["state"]["type"],
            state=run["state"]["name"],
            message=run["state"]["message"],
        )

    @property
    def _runs(self) -> dict[str, dict[str, Any]]:
        return self.kept["flow_runs"]


def _translated(text: bytes, words: dict[str, str]) -> bytes:
    for word, other in words.items():
        text = text.replace(word.encode(), other.encode())
    return text


def _check(request: ApiRequest, heard: httpx.Response) -> None:
    """Raise what Prefect's client raises for replies that are not Prefect's."""
    match request.method, request.words:
        case "POST", [kind] if kind in KINDS:
            UUID(heard.json()["id"])
        case "POST", [_, _, "set_state"]:
            OrchestrationResult.model_validate(heard.json())
        case "GET", ["flow_runs", _]:
            FlowRun.model_validate(heard.json())


@asynccontextmanager
async def relay_to(api: str, folder: Path, say: Say) -> AsyncIterator[Relay]:
    """A relay to the server at PREFECT_API_URL, whether it is reachable or not.

    Raises RuntimeError where its version differs, and httpx.HTTPStatusError where it denies access.
    """
    async with get_client(httpx_settings={"event_hooks": {"response": [refuse_others]}}) as client:
        relay = Relay(api, client, folder, say)
        fault = await fault_of(client)
        if fault is not None:
            relay.missed(fault)
        yield relay
