"""Prefect artifacts: a progress bar a stage, the result as table, as picture, and the SQL behind it."""

import base64
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from flows.pictures import picture_svg
from flows.report.contents import budget_pictures
from flows.report.facts import run_facts
from flows.results import SUMMARY_SQL, result_markdown, summary_rows
from storage.store import Store


class ProgressArtifact:
    """The share of a stage's shards that are done."""

    def __init__(self, artifact_id: object, shards: int) -> None:
        self._artifact_id = artifact_id
        self._shards = shards
        self._done = 0

    async def advance(self) -> None:
        """Count one shard."""
        self._done += 1
        await aupdate_progress_artifact(self._artifact_id, progress=100 * self._done / self._shards)  # type: ignore[arg-type]


def artifact_key(*words: str) -> str:
    """Prefect's keys are lower case letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in word.lower()) for word in words)


async def publish_progress(run_id: str, stage: str, shards: int) -> ProgressArtifact:
    """A progress bar for one stage."""
    artifact_id = await acreate_progress_artifact(
        progress=0.0, key=artifact_key(run_id, stage), description=f"{run_id}: {stage}, {shards} shards"
    )
    return ProgressArtifact(artifact_id, shards)


async def publish_rows(run_id: str, name: str, rows: list[dict[str, Any]], sql: str) -> None:
    """Rows as a table, described by the SQL behind them."""
    await acreate_table_artifact(key=artifact_key(run_id, name), table=rows, description=sql.format(run_id=run_id))


async def publish_summary(store: Store, run_id: str) -> None:
    """The result as a table, as markdown with the SQL behind it, as a picture, and a link to the store."""
    rows = summary_rows(store, run_id)
    await publish_rows(run_id, "summary", rows, SUMMARY_SQL)
    markdown = f"{result_markdown(rows)}\n```sql\n{SUMMARY_SQL.format(run_id=run_id)}\n```\n"
    await acreate_markdown_artifact(key=artifact_key(run_id, "report"), markdown=markdown)
    for picture in budget_pictures(run_facts(store, store.find_run(run_id)))[:1]:
        # Inside the address, so that the server needs no access to this machine's files.
        encoded = base64.b64encode(picture_svg(picture).encode()).decode()
        await acreate_image_artifact(
            image_url=f"data:image/svg+xml;base64,{encoded}",
            key=artifact_key(run_id, "picture"),
            description=f"{picture.title}\n\n{picture.caption}\n\n```sql\n{picture.sql}\n```",
        )
    folder = Path(store.run_folder(run_id)).resolve()
    await acreate_link_artifact(key=artifact_key(run_id, "store"), link=folder.as_uri(), link_text=str(folder))
