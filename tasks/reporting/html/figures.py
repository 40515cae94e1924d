"""The figures of a report, each drawn from the rows of one query: panel, line, x, y, low, high."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.difficulty import DIFFICULTIES
from overthink.tasks.analysis.method_ids import FAMILY_SQL, method_name
from overthink.tasks.reporting.html.facts import RunFacts, colour_of
from overthink.tasks.reporting.pictures import MUTED, Axes, Line, Panel, Picture, Point
from overthink.tasks.reporting.results import Row, run_title

BUDGET_SQL = f"""SELECT {FAMILY_SQL} AS method, selector, n AS x, accuracy AS y, ci_low AS low, ci_high AS high
FROM summary WHERE run_id = '{{run_id}}' AND accuracy IS NOT NULL AND (method_id != 'cot' OR selector = 'majority')
ORDER BY method, selector, x"""

# Those that are curves: of the methods with several budgets.
CURVES_SQL = f"""SELECT * FROM ({BUDGET_SQL})
QUALIFY method = 'cot' OR min(x) OVER (PARTITION BY method) < max(x) OVER (PARTITION BY method)
ORDER BY method, selector, x"""

# The interval is `mean_interval` of tasks/analysis/intervals.py; 3.841459 is z² of 95 %.
DIFFICULTY_SQL = f"""WITH graded AS (
    SELECT problem_id, avg(correct::INT) AS pass_at_1 FROM rollouts JOIN verdicts USING (run_id, method_id, rollout_id)
    WHERE run_id = '{{run_id}}' AND method_id = '{{independent}}' AND correct IS NOT NULL GROUP BY problem_id),
binned AS (
    SELECT problem_id,
           CASE WHEN pass_at_1 >= {{easy}} THEN 'easy' WHEN pass_at_1 < {{hard}} THEN 'hard' ELSE 'medium' END
           AS difficulty
    FROM graded),
means AS (
    SELECT difficulty, {FAMILY_SQL} AS method, selector, n AS x, avg(accuracy) AS y, var_pop(accuracy) AS v,
           count(*) AS problems, 3.841459 / (count(*) + 3.841459) AS share
    FROM selections JOIN binned USING (problem_id)
    WHERE run_id = '{{run_id}}' AND accuracy IS NOT NULL AND (method_id != 'cot' OR selector = 'majority')
    GROUP BY ALL),
slopes AS (
    SELECT *, CASE WHEN y > 0 THEN share * (y - v / y) / 2 ELSE 0 END AS down,
           CASE WHEN y < 1 THEN share * (1 - y - v / (1 - y)) / 2 ELSE 0 END AS up
    FROM means)
SELECT difficulty, method, selector, x, y, problems,
       greatest(0, y - down - sqrt(down * down + share * v)) AS low,
       least(1, y + up + sqrt(up * up + share * v)) AS high
FROM slopes ORDER BY difficulty, method, selector, x"""

FLOPS_SQL = f"""SELECT run_id, {FAMILY_SQL} AS method, selector, flops / problems AS x, accuracy AS y,
       ci_low AS low, ci_high AS high
FROM summary WHERE run_id IN ({{run_ids}}) AND flops > 0 AND accuracy IS NOT NULL
      AND (method_id != 'cot' OR selector = 'majority')
ORDER BY run_id, method, selector, x"""

BUDGET = Axes("budget n", "accuracy", base=2, percent=True)


def by_method(facts: RunFacts) -> Picture | None:
    """Accuracy against budget, one panel per method: best selector, majority and oracle in full, the others faint.

    None where no method has several budgets.
    """
    sql = CURVES_SQL.format(run_id=facts.run_id)
    rows = query(facts.store, sql).to_pylist()
    panels = [
        Panel(name, [*_selector_lines(facts, of_it), *_greedy(rows)])
        for name in facts.families
        if (of_it := [row for row in rows if row["method"] == name])
    ]
    if not panels:
        return None
    caption = (
        f"Solid: {facts.lead}, in hindsight the most accurate here. Dashed: majority. Dotted: oracle, any of n right. "
        "Faint: all other selectors, which the figure by selector draws one by one. Bands and bars are 95 % intervals "
        "over problems."
    )
    title, of = "Accuracy against budget, by method", run_title(facts.run)
    return Picture(f"budget-{facts.run_id}", title, caption, BUDGET, panels, sql, of)


def by_selector(facts: RunFacts) -> Picture:
    """Accuracy against budget, one panel per selector, every method with its band; that of the best is shown first."""
    sql = BUDGET_SQL.format(run_id=facts.run_id)
    rows = query(facts.store, sql).to_pylist()

    def lines(selector: str) -> Iterator[Line]:
        of_it = [row for row in rows if row["selector"] == selector and row["method"] != "cot"]
        for name, group in _grouped(of_it, lambda row: row["method"]):
            yield Line(facts.label(name), _points(group), colour_of(name))

    present = list(dict.fromkeys(row["selector"] for row in facts.rows))
    panels = [Panel(selector, [*lines(selector), *_greedy(rows)]) for selector in present]
    caption = "One colour per method, the same on the whole page. Bands and bars are 95 % intervals over problems."
    title, of = "Accuracy against budget, by selector", run_title(facts.run)
    chosen = present.index(facts.lead) if facts.lead in present else 0
    return Picture(f"selectors-{facts.run_id}", title, caption, BUDGET, panels, sql, of, chosen)


def by_difficulty(facts: RunFacts) -> Picture:
    """Accuracy against budget in each bin of pass@1, with its number of problems; needs independent rollouts."""
    bins = facts.difficulty
    sql = DIFFICULTY_SQL.format(run_id=facts.run_id, independent=facts.independent, easy=bins.easy, hard=bins.hard)
    rows = query(facts.store, sql).to_pylist()
    panels = []
    for difficulty in DIFFICULTIES:
        here = [row for row in rows if row["difficulty"] == difficulty]
        if here:
            count = here[0]["problems"]
            title = f"{difficulty}: {count} problem{'s' if count != 1 else ''}"
            panels.append(Panel(title, [*_method_lines(facts, here), *_greedy(here)]))
    caption = (
        f"Easy: pass@1 of {100 * bins.easy:g} % or more; hard: below {100 * bins.hard:g} %, by the rollouts of "
        f"{facts.independent}, whose majority and oracle are dashed and dotted. These rollouts are scored here too, so "
        f"{facts.independent} looks too good on easy problems and too bad on hard ones. Solid: {facts.lead}. Bands and "
        "bars: 95 % intervals over the bin's problems. An empty bin has no panel."
    )
    of = run_title(facts.run)
    return Picture(f"difficulty-{facts.run_id}", "Accuracy by difficulty", caption, BUDGET, panels, sql, of)


def against_flops(store: Store, runs: Sequence[RunFacts]) -> Picture | None:
    """Accuracy against FLOPs a problem, policy plus PRM, one panel per run; None where they are unknown for all."""
    run_ids = ", ".join(f"'{facts.run_id}'" for facts in runs)
    sql = FLOPS_SQL.format(run_ids=run_ids)
    rows = query(store, sql).to_pylist()
    panels = []
    for facts in runs:
        here = [row for row in rows if row["run_id"] == facts.run_id]
        if here:
            greedy = [Line("cot", _points([row]), MUTED) for row in here if row["method"] == "cot"]
            panels.append(Panel(str(facts.run_id), [*_method_lines(facts, here), *greedy]))
    if not panels:
        return None
    caption = (
        "Inference only, 2·N for each computed token, policy and PRM; tokens from a prefix cache are not computed. "
        "Solid: the run's most accurate selector. Dashed and dotted: majority and oracle, which need no PRM."
    )
    axes = Axes("FLOPs a problem", "accuracy", base=10, percent=True)
    name = f"flops-{runs[0].run_id}" if len(runs) == 1 else "flops"
    of = "; ".join(run_title(facts.run) for facts in runs)
    return Picture(name, "Accuracy against FLOPs", caption, axes, panels, sql, of)


def _selector_lines(facts: RunFacts, rows: Sequence[Row]) -> Iterator[Line]:
    """One method's selectors: the best one, majority and oracle in full."""
    for selector, group in _grouped(rows, lambda row: row["selector"]):
        colour, points = colour_of(group[0]["method"]), _points(group)
        yield _styled(facts, selector, selector, points, colour)


def _method_lines(facts: RunFacts, rows: Sequence[Row]) -> Iterator[Line]:
    """All methods: the best selector of each, majority and oracle of the independent one; the others are faint."""
    main = None if facts.independent is None else method_name(facts.independent)
    alone = len(facts.families) == 1
    for (method, selector), group in _grouped(rows, lambda row: (row["method"], row["selector"])):
        if method == "cot":
            continue
        name = selector if alone or selector != facts.lead else facts.label(method)
        line = _styled(facts, selector, name, _points(group), colour_of(method))
        is_main = selector == facts.lead or method_name(method) == main
        yield line if is_main else Line(f"{method} {selector}", line.points, faint=True)


def _styled(facts: RunFacts, selector: str, name: str, points: Sequence[Point], colour: str) -> Line:
    if selector == facts.lead:
        return Line(name, points, colour)
    if selector == "majority":
        return Line(name, points, colour, "dashed")
    if selector == "oracle":
        return Line(name, points, colour, "dotted")
    return Line(name, points, faint=True)


def _greedy(rows: Sequence[Row]) -> list[Line]:
    return [Line("cot, greedy", _points([row]), MUTED, level=True) for row in rows if row["method"] == "cot"]


def _points(rows: Iterable[Row]) -> list[Point]:
    return [Point(row["x"], row["y"], row["low"], row["high"]) for row in rows]


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> Iterator[tuple[Any, list[Row]]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    yield from groups.items()
