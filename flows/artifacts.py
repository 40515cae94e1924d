"""Prefect artifacts: a progress bar a stage, the result as table, as picture, and the SQL behind it.

They are for looking at; a server that is away, or slow, holds up no run. It is then left alone for a while.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from flows.pictures import picture_svg
from flows.prefect_faults import FAULTS
from flows.report.contents import budget_pictures
from flows.report.facts import run_facts
from flows.results import CAPTION, SUMMARY_SQL, monte_carlo_note, result_markdown, summary_rows
from storage.store import Store

SECONDS_TO_LISTEN, SECONDS_ALONE = 5.0, 60.0
Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)
_alone_until = 0.0


async def shown(telling: Coroutine[Any, Any, Answer]) -> Answer | None:
    """What the server answers; None where it does not, or did not a moment ago."""
    global _alone_until  # noqa: PLW0603 - there is one server a process
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
        self._key = artifact_key(run_id, stage)
        self._description = f"{run_id}: {stage}, {shards} shards"
        self._shards = shards
        self._done = 0
        self._artifact_id: Any = None

    async def show(self) -> None:
        """Bring it up to date, or into being."""
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
    """Prefect's keys are lower case letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in word.lower()) for word in words)


async def publish_progress(run_id: str, stage: str, shards: int) -> ProgressArtifact:
    """A progress bar for one stage."""
    artifact = ProgressArtifact(run_id, stage, shards)
    await artifact.show()
    return artifact


async def publish_rows(run_id: str, name: str, rows: list[dict[str, Any]], sql: str) -> None:
    """Rows as a table, described by the SQL behind them."""
    description = sql.format(run_id=run_id)
    await shown(acreate_table_artifact(key=artifact_key(run_id, name), table=rows, description=description))


async def publish_summary(store: Store, run_id: str) -> None:
    """The result as a table, as markdown with the SQL behind it, as a picture, and a link to the store."""
    rows = summary_rows(store, run_id)
    await publish_rows(run_id, "summary", rows, SUMMARY_SQL)
    told = f"{result_markdown(rows)}\n{CAPTION}{monte_carlo_note(store, run_id)}\n"
    markdown = f"{told}\n```sql\n{SUMMARY_SQL.format(run_id=run_id)}\n```\n"
    await shown(acreate_markdown_artifact(key=artifact_key(run_id, "report"), markdown=markdown))
    for picture in budget_pictures(run_facts(store, store.find_run(run_id)))[:1]:
        # Inside the address, so that the server needs no access to this machine's files.
        encoded = base64.b64encode(picture_svg(picture).encode()).decode()
        image = acreate_image_artifact(
            image_url=f"data:image/svg+xml;base64,{encoded}",
            key=artifact_key(run_id, "picture"),
            description=f"{picture.title}\n\n{picture.caption}\n\n```sql\n{picture.sql}\n```",
        )
        await shown(image)
    folder = Path(store.run_folder(run_id)).resolve()
    link = acreate_link_artifact(key=artifact_key(run_id, "store"), link=folder.as_uri(), link_text=str(folder))
    await shown(link)
