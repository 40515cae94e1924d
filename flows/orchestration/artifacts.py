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
from overthink.tasks.reporting.picture_files import picture_svg
from overthink.tasks.reporting.pictures import Picture
from overthink.tasks.reporting.result_tables import result_markdown
from overthink.tasks.reporting.results import CAPTION, SUMMARY_SQL, accuracy_notes, run_title, summary_rows
from overthink.tasks.reporting.run_notes import best_line, run_notes
from overthink.tasks.stages.progress_artifact import artifact_key, shown

RESULT, FIGURE, NUMBERS, FOLDER = "1-result", "2-figure", "3-numbers", "4-store"  # pages list them by these names
TITLES = {NUMBERS: "All accuracies", "prm": "Figures about the PRM", "sweep": "The runs"}


async def publish_rows(run_id: str, name: str, rows: list[dict[str, Any]], sql: str) -> None:
    """Rows as a table under the title of its name, with the SQL behind them."""
    description = f"{TITLES[name]} of {run_id}\n\n{_behind(sql.format(run_id=run_id))}"
    await shown(acreate_table_artifact(key=artifact_key(run_id, name), table=rows, description=description))


async def publish_summary(store: Store, run_id: str) -> None:
    """The result in words and as a table, its figure, all its numbers, and a link to the store, in this order."""
    if server_address() is None:  # without a server there is no display
        return
    run, rows = store.find_run(run_id), summary_rows(store, run_id)
    title = run_title(run)
    said = "".join(f"- {line}\n" for line in (*best_line(rows), *run_notes(store, run, rows)))
    table = f"{result_markdown(rows)}\n{CAPTION}{accuracy_notes(store, run_id)}\n"
    markdown = f"## {title}\n\n{said}\n{table}\n{_behind(SUMMARY_SQL.format(run_id=run_id))}"
    result = acreate_markdown_artifact(key=artifact_key(run_id, RESULT), markdown=markdown, description=title)
    await shown(result)
    for picture in budget_pictures(run_facts(store, run))[:1]:
        await _publish_picture(run_id, picture)
    await publish_rows(run_id, NUMBERS, rows, SUMMARY_SQL)
    folder = Path(store.run_folder(run_id)).resolve()
    link = acreate_link_artifact(
        key=artifact_key(run_id, FOLDER),
        link=folder.as_uri(),
        link_text=str(folder),
        description=f"The run's folder: `overthink view {store.address}` shows what is in its store",
    )
    await shown(link)


async def _publish_picture(run_id: str, picture: Picture) -> None:
    # Inside the address, so that the server needs no access to this machine's files.
    encoded = base64.b64encode(picture_svg(picture).encode()).decode()
    image = acreate_image_artifact(
        image_url=f"data:image/svg+xml;base64,{encoded}",
        key=artifact_key(run_id, FIGURE),
        description=f"{picture.title}\n\n{picture.caption}\n\n{_behind(picture.sql)}",
    )
    await shown(image)


def _behind(sql: str) -> str:
    return f"```sql\n{sql}\n```\n"
