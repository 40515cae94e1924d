"""Accuracies at one n, as dots: methods side by side where they share a budget."""

from collections.abc import Iterator, Sequence

from overthink.storage.sql import query
from overthink.tasks.analysis.method_ids import FAMILY_SQL, family
from overthink.tasks.reporting.html.facts import RunFacts, colour_of
from overthink.tasks.reporting.pictures import MUTED, Axes, Dash, Line, Panel, Picture, Point
from overthink.tasks.reporting.results import Row, run_title

DOTS_SQL = f"""SELECT {FAMILY_SQL} AS method, selector, n AS x, accuracy AS y, ci_low AS low, ci_high AS high
FROM summary WHERE run_id = '{{run_id}}' AND accuracy IS NOT NULL
    AND CASE WHEN method_id = 'cot' THEN selector = 'majority'
             ELSE n IN ({{budgets}}) AND selector IN ('{{lead}}', 'majority', 'oracle') END
ORDER BY method, selector, x"""
AXES = Axes("n", "accuracy", percent=True, dots=True)


def at_one_budget(facts: RunFacts) -> Picture | None:
    """A panel for each n that several methods share, or for the one n that a run has, the largest first.

    None where there is no such n.
    """
    budgets = [n for n in facts.budgets if len(_families_at(facts, n)) > 1 or len(facts.budgets) == 1]
    if not budgets:
        return None
    told = ", ".join(map(str, budgets))
    sql = DOTS_SQL.format(run_id=facts.run_id, budgets=told, lead=facts.lead)
    rows = query(facts.store, sql).to_pylist()
    panels = [Panel(f"n = {n}", list(_lines(facts, rows, n))) for n in budgets]
    caption = (
        f"Methods at the same n. Round: {facts.lead}, in hindsight the most accurate here. Square: majority. Diamond: "
        "oracle, any of n right. Bars are 95 % intervals over problems. The table below has all selectors."
    )
    title, chosen = "Methods at one budget", len(panels) - 1 if len(panels) > 1 else None
    return Picture(f"dots-{facts.run_id}", title, caption, AXES, panels, sql, run_title(facts.run), chosen)


def _families_at(facts: RunFacts, n: int) -> set[str]:
    return {family(row["method_id"]) for row in facts.known if row["n"] == n and row["method_id"] != "cot"}


def _lines(facts: RunFacts, rows: Sequence[Row], n: int) -> Iterator[Line]:
    """The greedy solution, then each method with its choices as rows below its name."""
    for row in rows:
        if row["method"] == "cot":
            yield Line("cot, greedy", [_point(row)], MUTED, level=True)
    for method in facts.families:
        at_n = {row["selector"]: row for row in rows if row["method"] == method and row["x"] == n}
        dashes: dict[str, Dash] = {"majority": "dashed", "oracle": "dotted", facts.lead: "solid"}
        for selector, dash in dashes.items():
            if selector in at_n:
                yield Line(selector, [_point(at_n[selector])], colour_of(method), dash, group=facts.label(method))


def _point(row: Row) -> Point:
    return Point(row["x"], row["y"], row["low"], row["high"])
