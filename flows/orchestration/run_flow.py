"""Runs a flow with or without a Prefect server, and starts none.

The flow engine uses a stand-in on loopback; where PREFECT_API_URL names a server, the stand-in is a relay to it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any, TypeVar

from anyio.from_thread import start_blocking_portal
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler

from overthink.flows.orchestration.flow_run_reports import Say
from overthink.flows.orchestration.relay import Relay, relay_to
from overthink.flows.orchestration.server import asking, server_address
from overthink.flows.orchestration.stand_in import StandIn, served
from overthink.storage.store import Store

Result = TypeVar("Result")
SECONDS_TO_SEND = 30.0  # for the last events


async def run_flow(store: Store, run_id: str, flow: Callable[[], Coroutine[Any, Any, Result]], say: Say) -> Result:
    """Run a flow and return its result; an unreachable Prefect server does not stop it.

    A final state that the server has not received is kept in the run's folder; the next run into the store sends it.
    """
    api = server_address()
    # They have their own thread, so that neither a busy flow nor its end by SIGTERM delays the reports.
    with start_blocking_portal(name="prefect-stand-in") as portal, ExitStack() as stack:
        stand_in = StandIn()
        if api is not None:
            relaying = _relay_of_run(api, store, run_id, say)
            stand_in = stack.enter_context(portal.wrap_async_context_manager(relaying))
        with asking(stack.enter_context(served(stand_in, portal))):
            try:
                return await flow()
            finally:
                await asyncio.to_thread(EventsWorker.drain_all, SECONDS_TO_SEND)
                await APILogHandler.aflush()


async def send_kept_reports(store: Store, say: Say) -> None:
    """Send the notes that earlier runs left in this store."""
    api = server_address()
    if api is not None:
        async with relay_to(api, store.root, say) as relay:
            await relay.send_kept(store)


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
