"""A stage's progress as a Prefect artifact.

Artifacts are only for display: an unreachable or slow server delays no run. It is then not asked for a while.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from prefect.artifacts import (
    acreate_progress_artifact,
    aupdate_progress_artifact,
)

from overthink.tasks.stages.prefect_faults import FAULTS

SECONDS_TO_LISTEN, SECONDS_ALONE = 5.0, 60.0


Answer = TypeVar("Answer")


_log = logging.getLogger(__name__)


_alone_until = 0.0


async def shown(telling: Coroutine[Any, Any, Answer]) -> Answer | None:
    """The server's answer; None where it does not answer, or recently did not."""
    global _alone_until  # noqa: PLW0603 - there is one server per process
    if time.monotonic() < _alone_until:
        telling.close()
        return None
    try:
        async with asyncio.timeout(SECONDS_TO_LISTEN):
            return await telling
    except FAULTS as error:
        _alone_until = time.monotonic() + SECONDS_ALONE
        _log.warning("an artifact is not shown, and none for %g s: %r", SECONDS_ALONE, error)
        return None


class ProgressArtifact:
    """The share of a stage's shards that are done."""

    def __init__(self, run_id: str, stage: str, shards: int) -> None:
        self._key = artifact_key(run_id, "stage", stage)  # after the results, in the order of names
        self._description = f"{run_id}: {stage}, {shards} shards"
        self._shards = shards
        self._done = 0
        self._artifact_id: Any = None

    async def show(self) -> None:
        """Update the artifact, or create it."""
        progress = 100 * self._done / self._shards
        if self._artifact_id is None:
            creating = acreate_progress_artifact(progress=progress, key=self._key, description=self._description)
            self._artifact_id = await shown(creating)
        else:
            await shown(aupdate_progress_artifact(self._artifact_id, progress=progress))

    async def advance(self) -> None:
        """Count one shard."""
        self._done += 1
        await self.show()


def artifact_key(*words: str) -> str:
    """An artifact's key; Prefect allows lower case letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in word.lower()) for word in words)


async def publish_progress(run_id: str, stage: str, shards: int) -> ProgressArtifact:
    """A progress bar for one stage."""
    artifact = ProgressArtifact(run_id, stage, shards)
    await artifact.show()
    return artifact
