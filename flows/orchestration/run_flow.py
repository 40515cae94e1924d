"""Runs a flow whether or not a Prefect server is there, and starts none.

The flow engine asks a stand-in on loopback; where PREFECT_API_URL names a server, that is a relay to it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

from anyio.from_thread import start_blocking_portal
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_UI_URL,
    temporary_settings,
)

from overthink.flows.orchestration.flow_run_reports import Say, notes
from overthink.flows.orchestration.relay import Relay, relay_to
from overthink.flows.orchestration.stand_in import StandIn, served
from overthink.storage.store import Store

SECONDS_TO_SEND = 30.0  # the last events
_server: ContextVar[str | None] = ContextVar("server", default=None)


async def run_flow(store: Store, run_id: str, flow: Callable[[], Coroutine[Any, Any, object]], say: Say) -> None:
    """Run a flow; no Prefect server that is away stops it.

    An end that the server has not heard of is kept in the run's folder, and told by the next run into the store.
    """
    api = PREFECT_API_URL.value()
    with start_blocking_portal() as portal, ExitStack() as stack:
        stand_in = StandIn()
        if api:
            relaying = _relay_of_run(api, store, run_id, say)
            stand_in = stack.enter_context(portal.wrap_async_context_manager(relaying))
        await _run(flow, stack.enter_context(served(stand_in, portal)), api)


async def send_kept_reports(store: Store, say: Say) -> None:
    """Tell the server what it could not be told when earlier runs into this store ended."""
    api = PREFECT_API_URL.value()
    if api and notes(store):
        async with relay_to(api, store.root, say) as relay:
            await relay.send_kept(store)


@contextmanager
def asking_the_server() -> Iterator[None]:
    """Inside, the server itself is asked where there is one: other machines do not reach its relay."""
    server = _server.get()
    with temporary_settings({PREFECT_API_URL: server} if server else {}):
        yield


@asynccontextmanager
async def _relay_of_run(api: str, store: Store, run_id: str, say: Say) -> AsyncIterator[Relay]:
    async with relay_to(api, store.run_folder(run_id), say) as relay:
        await relay.send_kept(store)
        watch = asyncio.create_task(relay.watch())
        try:
            yield relay
        finally:
            watch.cancel()
            await relay.catch_up()
            relay.say_what_is_left()


async def _run(flow: Callable[[], Coroutine[Any, Any, object]], address: str, server: str | None) -> None:
    settings = {
        PREFECT_API_URL: address,
        PREFECT_UI_URL: PREFECT_UI_URL.value() or "",
        PREFECT_API_REQUEST_TIMEOUT: 3600.0,  # of the server's answers those are in time that the relay waits for
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
    }
    if not server:
        settings[PREFECT_LOGGING_TO_API_ENABLED] = False
    here = _server.set(server)
    try:
        with temporary_settings(settings):
            await flow()
    finally:
        _server.reset(here)
        await asyncio.to_thread(EventsWorker.drain_all, SECONDS_TO_SEND)
        await APILogHandler.aflush()
