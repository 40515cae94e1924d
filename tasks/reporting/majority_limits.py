"""Where majority ends for N → ∞, for each method of a run whose solutions are independent, from its stored votes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from overthink.storage.sql import stream
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.analysis.majority_limit import MajorityLimit, majority_limit
from overthink.tasks.analysis.selectors import Candidates, candidates
from overthink.tasks.plan.regrading import was_independent

# A row for each vote, with the run's own verdict; one without a group for a problem that has none.
VOTES_SQL = """WITH asked AS (
    SELECT DISTINCT run_id, method_id, problem_id FROM selections
    WHERE run_id = '{run_id}' AND method_id IN ({methods}) AND estimator IS NOT NULL)
SELECT method_id, problem_id, answer_group, correct FROM asked
LEFT JOIN groups USING (run_id, method_id, problem_id) LEFT JOIN verdicts USING (run_id, method_id, rollout_id)
ORDER BY method_id, problem_id, sample_index"""

Row = dict[str, Any]


def majority_limits(store: Store, run: Run) -> dict[str, MajorityLimit]:
    """The limits by method: of independent solutions, several a problem; none without references."""
    sql = votes_sql(store, run)
    pools: dict[str, list[Candidates]] = defaultdict(list)
    for (method_id, _), votes in groupby(_votes(store, sql) if sql else (), itemgetter("method_id", "problem_id")):
        pools[method_id].append(_pool(list(votes)))
    found = {method_id: majority_limit(each) for method_id, each in pools.items()}
    return {method_id: limit for method_id, limit in found.items() if limit is not None}


def _votes(store: Store, sql: str) -> Iterator[Row]:
    """The rows of a query one by one: of millions of votes only some are there as Python's objects."""
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


def _pool(votes: Sequence[Row]) -> Candidates:
    return candidates([row["answer_group"] for row in votes], [row["correct"] for row in votes], None)


def _quoted(name: str) -> str:
    doubled = name.replace("'", "''")
    return f"'{doubled}'"
