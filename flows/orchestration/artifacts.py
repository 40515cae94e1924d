"""Prefect artifacts: the result as a table and as a picture, and the SQL behind it.

They are only for display: an unreachable or slow server delays no run. It is then not asked for a while.
"""

import base64
from pathlib import Path
from typing import Any

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)

from overthink.flows.orchestration.server import server_address
from overthink.storage.store import Store
from overthink.tasks.reporting.html.contents import budget_pictures
from overthink.tasks.reporting.html.facts import run_facts
from overthink.tasks.reporting.plots import picture_svg
from overthink.tasks.reporting.result_tables import result_markdown
from overthink.tasks.reporting.results import CAPTION, SUMMARY_SQL, accuracy_notes, summary_rows
from overthink.tasks.stages.progress_artifact import artifact_key, shown


async def publish_rows(run_id: str, name: str, rows: list[dict[str, Any]], sql: str) -> None:
    """Rows as a table, described by the SQL behind them."""
    description = sql.format(run_id=run_id)
    await shown(acreate_table_artifact(key=artifact_key(run_id, name), table=rows, description=description))


async def publish_summary(store: Store, run_id: str) -> None:
    """The result as a table, as markdown with the SQL behind it, as a picture, and a link to the store."""
    if server_address() is None:  # without a server there is no display
        return
    rows = summary_rows(store, run_id)
    await publish_rows(run_id, "summary", rows, SUMMARY_SQL)
    told = f"{result_markdown(rows)}\n{CAPTION}{accuracy_notes(store, run_id)}\n"
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
