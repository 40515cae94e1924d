"""A run that several processes share: each goes through all stages and takes the shards that no other works on."""

import asyncio
from collections.abc import Awaitable, Callable

from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Store
from overthink.tasks.stages.run_manifest import end_run
from overthink.tasks.stages.shards import POLL_SECONDS


async def with_others(
    store: Store, run_id: str, begin: Callable[[], object], make_stages: Callable[[], Awaitable[None]]
) -> bool:
    """Make a run's stages, and end the run unless another process did; returns whether this process ended it.

    The first process begins the run, and the first to finish all stages completes it. The run fails where no process is
    left to continue it. Raises StoreBusy where a process writes the run without sharing it.
    """
    with store.share_run(run_id, begin) as others_left:
        try:
            await make_stages()
        except Exception:
            if others_left():
                end_run(store, store.find_run(run_id), "failed")
            raise
        return await _ended_here(store, run_id)


async def _ended_here(store: Store, run_id: str) -> bool:
    while True:
        try:
            with store.ending_run(run_id):
                run = store.find_run(run_id)
                if run.status != "complete":
                    end_run(store, run, "complete")
                    return True
                return False
        except StoreBusy:
            await asyncio.sleep(POLL_SECONDS)
