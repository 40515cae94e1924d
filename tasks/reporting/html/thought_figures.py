"""Accuracy against tokens of reasoning: one solution that thinks longer beside more solutions that think as long."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from overthink.storage.sql import query
from overthink.tasks.analysis.method_ids import FAMILY_SQL
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.pictures import COLOURS, INK, Axes, Line, Panel, Picture, Point
from overthink.tasks.reporting.results import run_title

# The tokens of a problem are those of n solutions, of which a method's are alike in the mean.
THOUGHT_SQL = f"""WITH spent AS (
    SELECT method_id, avg(reasoning_tokens) AS tokens FROM rollouts WHERE run_id = '{{run_id}}' GROUP BY method_id)
SELECT {FAMILY_SQL} AS method, n, n * tokens AS x, accuracy AS y, ci_low AS low, ci_high AS high
FROM summary JOIN spent USING (method_id)
WHERE run_id = '{{run_id}}' AND selector = 'majority' AND method_id != 'cot' AND tokens > 0 AND accuracy IS NOT NULL
ORDER BY x, method"""
CAPTION = (
    "Majority over n solutions, against the tokens of reasoning that all n took together, in the mean over problems. "
    "Sequential: one sampled solution of each method, whose reasoning is longer from point to point. The others: the "
    "same reasoning, in "
    "parallel, n growing. At equal tokens the higher one spends them better. Bands and bars are 95 % intervals over "
    "problems."
)


def against_thought(facts: RunFacts) -> Picture | None:
    """Accuracy against tokens of reasoning a problem; None where fewer than two amounts of it were tried."""
    sql = THOUGHT_SQL.format(run_id=facts.run_id)
    rows = query(facts.store, sql).to_pylist()
    if len({row["x"] for row in rows}) < 2:
        return None
    alone = [row for row in rows if row["n"] == 1]
    lines = [Line("sequential, n = 1", _points(alone), INK, "dashed")] if len(alone) > 1 else []
    methods = dict.fromkeys(row["method"] for row in rows)
    for method, colour in zip(methods, cycle(COLOURS), strict=False):
        of_it = [row for row in rows if row["method"] == method]
        if len(of_it) > 1 or len(alone) < 2:
            lines.append(Line(method, _points(of_it), colour))
    axes = Axes("tokens of reasoning a problem", "accuracy", base=2, percent=True)
    title, panel = "Accuracy against tokens of reasoning", Panel(str(facts.run_id), lines)
    return Picture(f"thought-{facts.run_id}", title, CAPTION, axes, [panel], sql, run_title(facts.run))


def _points(rows: Sequence[dict[str, Any]]) -> list[Point]:
    return [Point(row["x"], row["y"], row["low"], row["high"]) for row in rows]
