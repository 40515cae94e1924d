"""What changed between two runs: accuracy on their common problems, problems that flipped, and cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.intervals import CONFIDENCE, paired_difference
from overthink.tasks.reporting.costs import cost_lines, known_costs
from overthink.tasks.reporting.paired_runs import PairedRuns, Row, is_known

# Problems are paired by id, question and reference, so that equal row numbers of different sets do not match. However
# they are asked, they are the same problems: their keys hold what else a prompt puts in.
PROBLEMS_SQL = """
WITH a AS (SELECT p.* FROM problems p JOIN runs USING (problem_set) WHERE run_id = '{before}'),
     b AS (SELECT p.* FROM problems p JOIN runs USING (problem_set) WHERE run_id = '{after}')
SELECT count(*) FILTER (a.problem_id IS NOT NULL AND b.problem_id IS NOT NULL) AS both,
       count(*) FILTER (b.problem_id IS NULL) AS only_before, count(*) FILTER (a.problem_id IS NULL) AS only_after,
       avg(b.chance) FILTER (a.problem_id IS NOT NULL) AS chance
FROM a FULL JOIN b ON a.problem_id = b.problem_id AND a.question = b.question AND a.reference = b.reference"""

NOT_COMPARED = ("problems", "policy_cached_tokens", "prm_cached_tokens")


@dataclass(frozen=True)
class Difference:
    """The accuracy of one choice (method, selector, n) in two runs, over their common problems.

    Accuracies are the expected ones of n rollouts, in [0, 1], over the problems with an accuracy in both runs;
    `difference` is after minus before, with its interval. `lost` and `won` count choices that flipped to wrong and to
    right, where both verdicts are known; `unknown_before` and `unknown_after` are the shares of choices without one.
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
    unknown_before: float
    unknown_after: float


@dataclass(frozen=True)
class Flip:
    """A problem that was answered correctly in one run and incorrectly in the other. A missing answer is None."""

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
    """The cost of a method in two runs, over all problems of each; None where unknown. `method_id` may be `all`."""

    method_id: str
    measure: str
    before: float | None
    after: float | None
    difference: float | None


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side. `regraded` names those that were graded again because the graders differ.

    `chance` is the mean probability, in [0, 1], that a guess is right, over the problems in both; None where that says
    nothing.
    """

    before: str
    after: str
    problems_in_both: int
    only_before: int
    only_after: int
    chance: float | None
    differences: tuple[Difference, ...]
    flips: tuple[Flip, ...]
    costs: tuple[Cost, ...]
    regraded: tuple[str, ...]


def compare_runs(store: Store, before: Run, after: Run) -> RunComparison:
    """Compare two complete runs, both by one grader.

    Raises StorageError where they share no problem, or no method, selector and n, or cannot be graded by one grader.
    """
    for run in (before, after):
        if run.status != "complete":
            raise StorageError(f"run {run.run_id} is not complete: run its recipe again to finish it")
    names = {"before": before.run_id, "after": after.run_id}
    (counts,) = query(store, PROBLEMS_SQL.format(**names)).to_pylist()
    costs = tuple(_costs(store, before, after))  # first, while no choices are held
    paired = PairedRuns(store, before, after)
    differences, flips = list[Difference](), list[Flip]()
    for _, rows in paired.choices():
        differences.append(difference_of(rows))
        flips += [_flip(row) for row in rows if _lost(row) or _won(row)]
    if not differences:
        lacking = "problem (id, question and reference)" if not counts["both"] else "method with its parameters"
        raise StorageError(
            f"{before.run_id} and {after.run_id} have no {lacking} in common, so nothing can be compared"
        )
    return RunComparison(
        **names,
        problems_in_both=counts["both"],
        only_before=counts["only_before"],
        only_after=counts["only_after"],
        chance=counts["chance"],
        differences=tuple(differences),
        flips=tuple(flips),
        costs=costs,
        regraded=paired.regraded,
    )


def _lost(row: Row) -> bool:
    return row["right_before"] is True and row["right_after"] is False


def _won(row: Row) -> bool:
    return row["right_before"] is False and row["right_after"] is True


def difference_of(rows: Sequence[Row], confidence: float = CONFIDENCE) -> Difference:
    """The difference over one group of paired choices."""
    known = [row for row in rows if is_known(row)]
    before, after = (np.array([row[name] for row in known]) for name in ("before", "after"))
    found = paired_difference(after, before, confidence)
    low, high = found.interval or (None, None)
    return Difference(
        method_id=rows[0]["method_id"],
        selector=rows[0]["selector"],
        n=rows[0]["n"],
        problems=len(known),
        before=float(before.mean()),
        after=float(after.mean()),
        difference=found.accuracy,
        ci_low=low,
        ci_high=high,
        lost=sum(map(_lost, rows)),
        won=sum(map(_won, rows)),
        unknown_before=float(np.mean([row["unknown_before"] for row in rows])),
        unknown_after=float(np.mean([row["unknown_after"] for row in rows])),
    )


def _flip(row: Row) -> Flip:
    names = ("method_id", "selector", "n", "problem_id", "question", "reference", "answer_before", "answer_after")
    return Flip(**{name: row[name] for name in names}, now_right=_won(row))


def _costs(store: Store, before: Run, after: Run) -> Iterable[Cost]:
    earlier, later = ({row["method_id"]: row for row in known_costs(store, run.run_id)} for run in (before, after))
    measures = [name for name in cost_lines([*earlier.values(), *later.values()]) if name not in NOT_COMPARED]
    for method_id, row in later.items():
        if method_id in earlier:
            for measure in measures:
                then, now = _number(earlier[method_id][measure]), _number(row[measure])
                yield Cost(method_id, measure, then, now, None if then is None or now is None else now - then)


def _number(value: Any) -> float | None:
    """DuckDB's sums of whole numbers are too wide for its integers, and come as decimals."""
    return int(value) if isinstance(value, Decimal) else value
