"""What changed from one run to another: accuracy on the problems both have, problems that flipped, and cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from flows.costs import known_costs
from storage.errors import StorageError
from storage.sql import query
from storage.store import Run, Store
from tasks.analysis.intervals import CONFIDENCE, paired_difference
from tasks.analysis.selectors import SELECTORS

# A problem is the same where id, question and reference are: rows that are only numbered are not paired by chance.
PROBLEMS_SQL = """
WITH a AS (SELECT problem_key, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{before}'),
     b AS (SELECT problem_key, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{after}')
SELECT count(*) FILTER (a.problem_key IS NOT NULL AND b.problem_key IS NOT NULL) AS both,
       count(*) FILTER (b.problem_key IS NULL) AS only_before, count(*) FILTER (a.problem_key IS NULL) AS only_after
FROM a FULL JOIN b ON a.problem_key = b.problem_key AND a.reference = b.reference"""

PAIRS_SQL = """
WITH shared AS (
    SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{before}'
    INTERSECT
    SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{after}')
SELECT method_id, selector, n, problem_id, question, reference, a.answer AS answer_before, b.answer AS answer_after,
       a.accuracy AS before, b.accuracy AS after,
       coalesce(a.correct, false) AS right_before, coalesce(b.correct, false) AS right_after
FROM selections a JOIN selections b USING (method_id, selector, n, problem_id) JOIN shared USING (problem_id)
WHERE a.run_id = '{before}' AND b.run_id = '{after}' ORDER BY method_id, n, problem_id"""

COSTS = (
    "policy_prompt_tokens",
    "policy_completion_tokens",
    "prm_tokens",
    "policy_flops",
    "prm_flops",
    "engine_seconds",
    "gpu_seconds",
)


@dataclass(frozen=True)
class Difference:
    """What one way to choose is worth in two runs, over the problems both have.

    Accuracies are those to expect of n rollouts, in [0, 1]; `difference` is after less before, with its interval (None
    for fewer than two problems). `lost` and `won` count problems whose choice flipped to wrong and to right.
    """

    method_id: str
    selector: str
    n: int
    problems: int
    before: float
    after: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    lost: int
    won: int


@dataclass(frozen=True)
class Flip:
    """A problem that was answered rightly in one run and wrongly in the other. No answer is None."""

    method_id: str
    selector: str
    n: int
    problem_id: str
    question: str
    reference: str
    answer_before: str | None
    answer_after: str | None
    now_right: bool


@dataclass(frozen=True)
class Cost:
    """What a method cost in two runs, over all problems of each; None where unknown. `method_id` may be `all`."""

    method_id: str
    measure: str
    before: float | None
    after: float | None
    difference: float | None


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side."""

    before: str
    after: str
    problems_in_both: int
    only_before: int
    only_after: int
    differences: tuple[Difference, ...]
    flips: tuple[Flip, ...]
    costs: tuple[Cost, ...]


def compare_runs(store: Store, before: Run, after: Run) -> RunComparison:
    """Two finished runs. Raises StorageError where they share no problem, or no method, selector and n."""
    for run in (before, after):
        if run.status != "complete":
            raise StorageError(f"run {run.run_id} is not complete: run its recipe again to finish it")
    names = {"before": before.run_id, "after": after.run_id}
    (counts,) = query(store, PROBLEMS_SQL.format(**names)).to_pylist()
    pairs = paired_choices(store, before, after)
    if not pairs:
        lacking = "problem (id, question and reference)" if not counts["both"] else "method with its parameters"
        raise StorageError(
            f"{before.run_id} and {after.run_id} have no {lacking} in common, so nothing can be compared"
        )
    return RunComparison(
        **names,
        problems_in_both=counts["both"],
        only_before=counts["only_before"],
        only_after=counts["only_after"],
        differences=tuple(difference_of(rows) for rows in pairs.values()),
        flips=tuple(_flip(row) for rows in pairs.values() for row in rows if row["right_before"] != row["right_after"]),
        costs=tuple(_costs(store, before, after)),
    )


Pairs = Mapping[tuple[str, str, int], Sequence[Mapping[str, Any]]]


def paired_choices(store: Store, before: Run, after: Run) -> Pairs:
    """A row for each problem of both runs, by the (method, selector, n) of both; methods as the later run has them."""
    rows = query(store, PAIRS_SQL.format(before=before.run_id, after=after.run_id)).to_pylist()
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method_id"], row["selector"], row["n"]), []).append(row)
    methods = list(dict.fromkeys(use.method_id for use in after.stages))
    order = sorted(groups, key=lambda key: (methods.index(key[0]), SELECTORS.index(key[1]), key[2]))
    return {key: groups[key] for key in order}


def difference_of(rows: Sequence[Mapping[str, Any]], confidence: float = CONFIDENCE) -> Difference:
    """The difference over one group of paired choices."""
    before, after = (np.array([row[name] for row in rows]) for name in ("before", "after"))
    found = paired_difference(after, before, confidence)
    low, high = found.interval or (None, None)
    return Difference(
        method_id=rows[0]["method_id"],
        selector=rows[0]["selector"],
        n=rows[0]["n"],
        problems=len(rows),
        before=float(before.mean()),
        after=float(after.mean()),
        difference=found.accuracy,
        ci_low=low,
        ci_high=high,
        lost=sum(row["right_before"] and not row["right_after"] for row in rows),
        won=sum(row["right_after"] and not row["right_before"] for row in rows),
    )


def _flip(row: Mapping[str, Any]) -> Flip:
    names = ("method_id", "selector", "n", "problem_id", "question", "reference", "answer_before", "answer_after")
    return Flip(**{name: row[name] for name in names}, now_right=row["right_after"])


def _costs(store: Store, before: Run, after: Run) -> Iterable[Cost]:
    earlier, later = ({row["method_id"]: row for row in known_costs(store, run.run_id)} for run in (before, after))
    for method_id, row in later.items():
        if method_id in earlier:
            for measure in COSTS:
                then, now = _number(earlier[method_id][measure]), _number(row[measure])
                yield Cost(method_id, measure, then, now, None if then is None or now is None else now - then)


def _number(value: Any) -> float | None:
    """DuckDB's sums of whole numbers are too wide for its integers, and come as decimals."""
    return int(value) if isinstance(value, Decimal) else value
