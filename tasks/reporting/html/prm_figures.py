"""The figures about a PRM: a panel for each source of what it scored, each drawn from the rows of one query."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.reporting.pictures import COLOURS, Axes, Line, Panel, Picture, Point
from overthink.tasks.reporting.results import Row, run_title

CALIBRATION_SQL = """SELECT source, coalesce(aggregation, 'step') AS name,
       max(value) FILTER (measure = 'mean_score') AS x, max(value) FILTER (measure = 'share_right') AS y
FROM prm_metrics WHERE run_id = '{run_id}' AND measure IN ('mean_score', 'share_right')
GROUP BY source, aggregation, point ORDER BY source, name, x"""

LENGTH_SQL = """WITH judged AS (
    SELECT method_id AS source, rollout_id, correct, completion_tokens, min(score) AS score
    FROM rollouts JOIN verdicts USING (run_id, method_id, rollout_id)
    JOIN scores USING (rollout_id) JOIN runs USING (run_id)
    WHERE run_id = '{run_id}' AND scores.prm = runs.prm AND correct IS NOT NULL
          AND method_id IN (SELECT source FROM prm_metrics WHERE run_id = '{run_id}')
    GROUP BY ALL),
tenths AS (
    SELECT *, ntile(10) OVER (PARTITION BY source, correct ORDER BY completion_tokens, rollout_id) AS tenth
    FROM judged)
SELECT source, CASE WHEN correct THEN 'right' ELSE 'wrong' END AS name, avg(completion_tokens) AS x, avg(score) AS y
FROM tenths GROUP BY source, correct, tenth ORDER BY source, name, x"""

BUDGET_SQL = """SELECT source, concat_ws(' ', replace(measure, 'accuracy_of_', ''), aggregation) AS name,
       point AS x, value AS y
FROM prm_metrics WHERE run_id = '{run_id}' AND starts_with(measure, 'accuracy_of_') ORDER BY source, name, x"""

THRESHOLD_SQL = """SELECT source, concat('F1, ', labeller) AS name, point AS x, value AS y
FROM prm_metrics WHERE run_id = '{run_id}' AND measure = 'f1_at_threshold' ORDER BY source, name, x"""

PICTURES = (
    (
        "calibration",
        "Calibration",
        "Share of right ones against mean score, in bins of a tenth. On the dotted line a score is a probability.",
        CALIBRATION_SQL,
        Axes("mean score", "share right", diagonal=True),
    ),
    (
        "length",
        "Score against length",
        "Mean of the lowest step score against tokens, in tenths of the rollouts. Flat lines are free of length bias.",
        LENGTH_SQL,
        Axes("tokens", "score (min)"),
    ),
    (
        "best-of",
        "Best of n",
        "Accuracy of the best-scored of n rollouts. Where it falls with n, the highest scores are misleading.",
        BUDGET_SQL,
        Axes("n", "accuracy", base=2, percent=True),
    ),
    (
        "f1",
        "F1 against threshold",
        "Finding the first wrong step, on solutions that did not choose the threshold.",
        THRESHOLD_SQL,
        Axes("threshold", "F1"),
    ),
)


def prm_pictures(store: Store, run_id: str) -> Iterator[Picture]:
    """Those with a curve; of several sources a page shows one at a time."""
    of = run_title(store.find_run(run_id))
    for name, title, caption, template, axes in PICTURES:
        sql = template.format(run_id=run_id)
        rows = query(store, sql).to_pylist()
        panels = [Panel(source, _lines(list(of_it))) for source, of_it in groupby(rows, itemgetter("source"))]
        drawn = [panel for panel in panels if panel.lines]
        if drawn:
            chosen = 0 if len(drawn) > 1 else None
            yield Picture(f"{name}-{run_id}", title, caption, axes, drawn, sql, of, chosen)


def _lines(rows: Sequence[Row]) -> list[Line]:
    """The curves of one source; a single point is none."""
    curves = [(name, list(points)) for name, points in groupby(rows, itemgetter("name"))]
    return [
        Line(name, [Point(row["x"], row["y"]) for row in points], COLOURS[place % len(COLOURS)])
        for place, (name, points) in enumerate(curves)
        if len(points) > 1
    ]
