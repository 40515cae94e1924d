"""A stand-in for Prefect's server: answers the few routes that the flow engine uses inside this process."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import uvicorn
from anyio.from_thread import BlockingPortal
from prefect import __version__
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus, StateAcceptDetails
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

VERSION = ["admin", "version"]
KINDS = ("flows", "flow_runs", "task_runs", "artifacts")
SECONDS_TO_END = 5  # for requests made before the flow ended


@dataclass(frozen=True)
class ApiRequest:
    """A client's request: the method, the path below /api with its query, and the JSON body as received."""

    method: str
    path: str
    content: bytes = b""

    @property
    def words(self) -> list[str]:
        """The parts of the path."""
        return self.path.strip("/").split("/")

    @property
    def creates(self) -> str:
        """The kind of object to create, or an empty string."""
        return self.words[0] if self.method == "POST" and len(self.words) == 1 else ""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body; empty where it is not an object."""
        value = json.loads(self.content or b"{}")
        return value if isinstance(value, dict) else {}


class StandIn:
    """Keeps objects in memory, accepts every state, drops logs and events, and answers 404 to all else.

    `kept` holds Prefect's JSON objects by kind and id.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}

    async def reply(self, request: ApiRequest) -> Response:
        """The response to a client."""
        return self.answer(request)

    async def hear(self, event: str) -> None:
        """Receive one event, as JSON."""

    def answer(self, request: ApiRequest) -> Response:
        """The response that Prefect would give."""
        if request.words == VERSION:
            return JSONResponse(__version__)
        if request.creates in self.kept:
            thing = {**request.body, "id": request.body.get("id") or str(uuid4())}
            return JSONResponse(self.keep(request.creates, thing), status_code=201)
        match request.words:
            case ["logs" | "events"]:
                return Response(status_code=204)
            case [_, "filter"]:  # no earlier ones exist
                return JSONResponse([])
            case [kind, known, *rest] if known in self.kept.get(kind, {}):
                return _about(self.kept[kind][known], request.method, rest, request.body)
        return JSONResponse({"detail": "Not Found"}, status_code=404)

    def keep(self, kind: str, thing: dict[str, Any]) -> dict[str, Any]:
        """Store a new object and return it."""
        self.kept[kind][thing["id"]] = thing
        return thing


def _about(thing: dict[str, Any], method: str, rest: list[str], body: dict[str, Any]) -> Response:
    if method == "GET":
        return JSONResponse(thing)
    thing |= body
    if rest != ["set_state"]:
        return Response(status_code=204)
    state: State[Any] = State.model_validate(body["state"])  # this sets an id and a time
    accepted = OrchestrationResult[Any](state=state, status=SetStateStatus.ACCEPT, details=StateAcceptDetails())
    return JSONResponse(accepted.model_dump(mode="json"), status_code=201)


@contextmanager
def served(stand_in: StandIn, portal: BlockingPortal) -> Iterator[str]:
    """The address of a stand-in on loopback; the portal's thread serves it."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _app(stand_in), log_config=None, lifespan="off", access_log=False, timeout_graceful_shutdown=SECONDS_TO_END
    )
    server = uvicorn.Server(config)
    serving = portal.start_task_soon(server.serve, [listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    finally:
        server.should_exit = True
        serving.result()


def _app(stand_in: StandIn) -> Starlette:
    async def reply(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        path = request.url.path.removeprefix("/api") + query
        return await stand_in.reply(ApiRequest(request.method, path, await request.body()))

    async def hear(events: WebSocket) -> None:
        await events.accept(subprotocol="prefect")
        await events.receive_text()  # the client's authentication message
        await events.send_json({"type": "auth_success"})
        async for event in events.iter_text():
            await stand_in.hear(event)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(routes=[WebSocketRoute("/api/events/in", hear), Route("/api/{path:path}", reply, methods=methods)])
