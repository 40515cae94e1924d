"""Runs a flow whether or not a Prefect server is there, and starts none.

The flow engine asks a stand-in on loopback; where PREFECT_API_URL names a server, that is a relay to it.
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
SECONDS_TO_SEND = 30.0  # the last events


async def run_flow(store: Store, run_id: str, flow: Callable[[], Coroutine[Any, Any, Result]], say: Say) -> Result:
    """Run a flow, and return what it does; no Prefect server that is away stops it.

    An end that the server has not heard of is kept in the run's folder, and told by the next run into the store.
    """
    api = server_address()
    # A thread of their own, so that neither a busy flow nor its end by SIGTERM holds up what must be told.
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
    """Tell the server what it could not be told when earlier runs into this store ended."""
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
