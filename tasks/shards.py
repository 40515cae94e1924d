"""What the stages' tasks have in common: shards in parallel, retries for engine failures alone, parts from rows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from storage.journal import JournaledCall
from storage.schemas import SCHEMAS
from storage.stages import Cover, Entry
from tasks.errors import EngineDied

SHARDS_AT_ONCE = 2  # while one shard's last searches end, the next keeps the engines busy


def engine_failed(_task: Any, _task_run: Any, state: Any) -> bool:
    """Prefect's retry condition: only a dead engine is worth another try."""
    return isinstance(state.data, EngineDied)


# Our Parquet is the checkpoint: Prefect neither stores nor reuses what a task returns.
PLAIN_TASK: dict[str, Any] = {"persist_result": False, "cache_policy": NO_CACHE}
ENGINE_TASK: dict[str, Any] = PLAIN_TASK | {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": engine_failed,
}


async def run_shards(covers: Sequence[Cover], work: Callable[[Cover], Awaitable[Entry]]) -> None:
    """Work off shards, a few at once. One that fails does not stop the others; its error is raised at the end."""
    turn = asyncio.Semaphore(SHARDS_AT_ONCE)

    async def bounded(cover: Cover) -> Entry:
        async with turn:
            return await work(cover)

    pending = [asyncio.create_task(bounded(cover)) for cover in covers]
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


def rows_table(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the schema `name`."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])


def calls_table(calls: Sequence[JournaledCall]) -> pa.Table:
    """Journaled calls as rows of the `calls` table, without their replies."""
    names = [name for name in SCHEMAS["calls"].names if name != "started_at"]
    rows = [
        {name: getattr(call, name) for name in names} | {"started_at": int(call.started_at * 1_000_000)}
        for call in calls
    ]
    return rows_table("calls", rows)
