"""Where majority ends for N → ∞, for each method of a run whose solutions are independent, from its stored votes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from overthink.storage.sql import stream
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.analysis.majority_limit import MajorityLimit, limit_of_votes, majority_limit
from overthink.tasks.plan.regrading import was_independent

# A row for each answer with its votes, and the run's own verdict on its first rollout; one without votes for a problem
# that has none.
VOTES_SQL = """WITH asked AS (
    SELECT DISTINCT run_id, method_id, problem_id FROM selections
    WHERE run_id = '{run_id}' AND method_id IN ({methods}) AND estimator IS NOT NULL)
SELECT method_id, problem_id, answer_group, count(answer_group) AS votes, min(sample_index) AS first,
       arg_min({{'verdict': correct}}, sample_index).verdict AS correct
FROM asked LEFT JOIN groups USING (run_id, method_id, problem_id)
LEFT JOIN verdicts USING (run_id, method_id, rollout_id)
GROUP BY ALL ORDER BY method_id, problem_id, first"""

Row = dict[str, Any]


def majority_limits(store: Store, run: Run) -> dict[str, MajorityLimit]:
    """The limits by method: of independent solutions, several a problem; none without references."""
    sql = votes_sql(store, run)
    limits: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (method_id, _), rows in groupby(_answers(store, sql) if sql else (), itemgetter("method_id", "problem_id")):
        limits[method_id].append(_limit([row for row in rows if row["votes"]]))
    found = {method_id: majority_limit(each) for method_id, each in limits.items()}
    return {method_id: limit for method_id, limit in found.items() if limit is not None}


def _answers(store: Store, sql: str) -> Iterator[Row]:
    """The rows of a query one by one: of millions only some are there as Python's objects."""
    with stream(store, sql) as rows:
        for batch in rows.batches:
            yield from batch.to_pylist()


def votes_sql(store: Store, run: Run) -> str | None:
    """The query for the votes; None where no method of the run has independent solutions."""
    methods = [
        str(use.method_id)
        for use in run.stages
        if use.kind == StageKind.SELECT and _has_several_independent(store, run, use)
    ]
    names = ", ".join(map(_quoted, dict.fromkeys(methods)))
    return VOTES_SQL.format(run_id=run.run_id, methods=names) if methods else None


def limit_lines(store: Store, run_id: str) -> list[str]:
    """A line for each method."""
    return [
        f"{method_id}: majority for N → ∞ is {limit_text(limit)} % over {limit.problems} problems{unknown_text(limit)}"
        for method_id, limit in majority_limits(store, store.find_run(run_id)).items()
    ]


def limit_text(limit: MajorityLimit) -> str:
    """In per cent, with its interval, as accuracies are written: `95.5 (93–97)`."""
    low, high = limit.interval
    return f"{100 * limit.accuracy:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def unknown_text(limit: MajorityLimit) -> str:
    """What it would be without unknown verdicts; empty where it depends on none."""
    if not limit.unknown:
        return ""
    return f"; {100 * limit.highest:.1f} % if the unknown verdicts, in {limit.unknown} of them, are all right"


def _has_several_independent(store: Store, run: Run, use: StageUse) -> bool:
    """Whether a select stage chooses among several independent solutions of a problem."""
    settings = store.stage(use.key).identity()
    told = settings.get("independent")
    independent = was_independent(run, str(use.method_id)) if told is None else bool(told)
    return independent and max(settings["budgets"]) > 1


def _limit(answers: Sequence[Row]) -> tuple[float, float]:
    right, unknown = (np.array([row["correct"] is one for row in answers], dtype=np.bool_) for one in (True, None))
    return limit_of_votes([row["votes"] for row in answers], right, unknown)


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'"
