"""Runs a stage's shards in parallel as Prefect tasks; only engine failures are retried."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote

from overthink.storage.manifest import Entry, Extent
from overthink.storage.stages import Shard
from overthink.storage.storage_errors import StoreBusy
from overthink.tasks.errors import EngineDied
from overthink.tasks.stages.node import EngineNode, StageNode

MakePart = Callable[[Extent], Awaitable[Entry]]
Room = Callable[[int], AbstractAsyncContextManager[None]]

POLL_SECONDS = 0.2  # between checks of a shard that another process works on


def engine_failed(_task: Any, _task_run: Any, state: Any) -> bool:
    """Prefect's retry condition: only a dead engine is retried."""
    return isinstance(state.data, EngineDied)


# Our Parquet files are the checkpoint: Prefect neither stores nor reuses a task's result.
PLAIN_TASK: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
ENGINE_TASK: dict[str, Any] = PLAIN_TASK | {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": engine_failed,
}


@task(**PLAIN_TASK)
async def make_part(make: MakePart, extent: Extent) -> Entry:
    """Make one part of a stage; this is the Prefect task."""
    return await make(extent)


def part_task(node: StageNode, order: int) -> Callable[[quote, Extent], Awaitable[Entry]]:
    """The task of a shard, named after its stage and its place in the order.

    With engines, it is retried after one died. Its argument is quoted: otherwise Prefect would walk through all
    problems for each shard.
    """
    settings = ENGINE_TASK if isinstance(node, EngineNode) else {}
    title = node.title.replace("{", "{{").replace("}", "}}")  # Prefect fills in what stands in braces
    samples = ", samples {extent.first} up to {extent.last}" if node.n > 1 else ""
    name = f"{title}, shard {order + 1}{samples}"
    named = make_part.with_options(name=str(node.kind), task_run_name=name, **settings)
    return cast(Callable[[quote, Extent], Awaitable[Entry]], named)


async def run_shards(shards: Sequence[Shard], work: Callable[[Shard, int], Awaitable[None]], room: Room) -> None:
    """Process shards in order, each as soon as there is `room` for it; `work` gets its place in the order.

    A shard that another process works on is checked again until it is done. A failed shard does not stop the others;
    its error is raised at the end.
    """

    async def until_done(order: int, shard: Shard) -> None:
        while True:
            async with room(order):
                try:
                    return await work(shard, order)
                except StoreBusy:
                    pass
            await asyncio.sleep(POLL_SECONDS)

    pending = [asyncio.create_task(until_done(order, shard)) for order, shard in enumerate(shards)]
    try:
        results = await asyncio.gather(*pending, return_exceptions=True)
    except asyncio.CancelledError:
        for shard in pending:
            shard.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*pending, return_exceptions=True)
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
