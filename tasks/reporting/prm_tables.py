"""The figures of `prm-eval`, read from the store by SQL, as a terminal table."""

from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.table import Table
from rich.text import Text

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.aggregation import AGGREGATIONS
from overthink.tasks.analysis.estimators import SUBSETS
from overthink.tasks.terminal_text import printable

FIGURES_SQL = """SELECT source, labeller, measure, aggregation, point, value, count FROM prm_metrics
WHERE run_id = '{run_id}' AND measure NOT IN ('mean_score', 'share_right', 'f1_at_threshold') ORDER BY ALL"""

CAPTION = (
    "table prm_metrics; – unknown. AUC, calibration and length bias (a rank correlation) are of rollouts with a known "
    "grade and a score; "
    f"the accuracy of majority is by {SUBSETS} random subsets a problem where there are more, all others are exact"
)
ROWS = {
    "share_scored": "solutions with a verdict on every step",
    "f1": "F1 of the first wrong step",
    "threshold": "  its threshold, chosen on other solutions",
    "accuracy_on_wrong": "  found in wrong solutions",
    "accuracy_on_right": "  none found in right solutions",
    "auc": "AUC",
    "calibration_error": "calibration error",
    "length_bias_right": "length bias, right ones",
    "length_bias_wrong": "length bias, wrong ones",
    "misled_by_max": "best-scored is wrong though one is right",
    "accuracy_of_max": "accuracy of best of {n:.0f}",
    "accuracy_of_majority": "accuracy of majority of {n:.0f}",
    "accuracy_of_oracle": "any of {n:.0f} right",
}


def figure_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A run's figures without its curves."""
    return list(query(store, FIGURES_SQL.format(run_id=run_id)).to_pylist())


def prm_table(store: Store, run_id: str) -> Table:
    """One line per figure; a column for single steps (or figures without scores) and one for each aggregation.

    What the figures are of stands above them, and their names fold, so that no number is cut in a terminal.
    """
    columns: tuple[str | None, ...] = (None, *AGGREGATIONS)
    table = Table(title=f"{run_id}: {store.find_run(run_id).prm}", caption=CAPTION)
    table.add_column("figure", overflow="fold")
    for column in (*(name or "steps" for name in columns), "of"):
        table.add_column(column, justify="right", no_wrap=True)
    lines: dict[tuple[str, str, str, float], dict[str | None, dict[str, Any]]] = {}
    for row in figure_rows(store, run_id):
        budget = row["point"] if row["measure"].startswith("accuracy_of_") else 0
        key = (row["source"], row["labeller"] or "", row["measure"], budget)
        lines.setdefault(key, {})[row["aggregation"]] = row
    measures = list(ROWS)
    ordered = sorted(lines, key=lambda key: (key[0], key[1], measures.index(key[2]), key[3]))
    for source, of_it in groupby(ordered, itemgetter(0)):
        table.add_section()
        table.add_row(Text(printable(source), "bold"))
        for key in of_it:
            cells = lines[key]
            counts = sorted({cell["count"] for cell in cells.values()})
            values = [_cell(cells[column]) if column in cells else "" for column in columns]
            table.add_row(_name(*key), *values, " / ".join(map(str, counts)))
    return table


def _name(source: str, labeller: str, measure: str, budget: float) -> str:
    """What a line of the table is about; whose labels it reads where its source has none."""
    name = ROWS[measure].format(n=budget)
    return name if labeller in ("", source) else f"{name} ({labeller})"


def _cell(row: dict[str, Any]) -> str:
    return "–" if row["value"] is None else f"{row['value']:.3f}"
