"""A run that several processes share: each goes through all stages and does the shards that no other is at."""

import asyncio
from collections.abc import Awaitable, Callable

from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Store
from overthink.tasks.stages.run_manifest import end_run
from overthink.tasks.stages.shards import POLL_SECONDS


async def with_others(
    store: Store, run_id: str, begin: Callable[[], object], make_stages: Callable[[], Awaitable[None]]
) -> bool:
    """Make a run's stages, and end it unless another process has; whether it was ended here.

    The first to come begins the run, and the first to be through completes it. It has failed where nobody is left to go
    on with it. Raises StoreBusy where a process writes the run that does not share it.
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
