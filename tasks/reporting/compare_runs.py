"""What changed between two runs: accuracy on their common problems, problems that flipped, and cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.intervals import CONFIDENCE, paired_difference
from overthink.tasks.analysis.selectors import places
from overthink.tasks.plan.regrading import regrading
from overthink.tasks.reporting.costs import cost_lines, known_costs
from overthink.tasks.stages.identity import Graders, current_graders, graders_of

Row = dict[str, Any]

# Problems are paired by id, question and reference, so that equal row numbers of different sets do not match. However
# they are asked, they are the same problems: their keys hold what else a prompt puts in.
PROBLEMS_SQL = """
WITH a AS (SELECT p.* FROM problems p JOIN runs USING (problem_set) WHERE run_id = '{before}'),
     b AS (SELECT p.* FROM problems p JOIN runs USING (problem_set) WHERE run_id = '{after}')
SELECT count(*) FILTER (a.problem_id IS NOT NULL AND b.problem_id IS NOT NULL) AS both,
       count(*) FILTER (b.problem_id IS NULL) AS only_before, count(*) FILTER (a.problem_id IS NULL) AS only_after,
       avg(b.chance) FILTER (a.problem_id IS NOT NULL) AS chance
FROM a FULL JOIN b ON a.problem_id = b.problem_id AND a.question = b.question AND a.reference = b.reference"""

SHARED_SQL = """
SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{before}'
INTERSECT
SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{after}'"""

SELECTIONS_SQL = "SELECT * FROM selections WHERE run_id = '{run_id}'"

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
    paired = paired_choices(store, before, after)
    if not paired.choices:
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
        differences=tuple(difference_of(rows) for rows in paired.choices.values()),
        flips=tuple(_flip(row) for rows in paired.choices.values() for row in rows if _lost(row) or _won(row)),
        costs=tuple(_costs(store, before, after)),
        regraded=paired.regraded,
    )


Choice = tuple[str, str, int]  # method, selector, n


@dataclass(frozen=True)
class Paired:
    """For each common choice, one row per common problem; methods in the order of the later run."""

    choices: Mapping[Choice, Sequence[Row]]
    regraded: tuple[str, ...]


def paired_choices(store: Store, before: Run, after: Run) -> Paired:
    """The choices of both runs, by one grader.

    Where the graders of a method differ, its rollouts are graded again in the runs whose grader is not today's.
    Raises StorageError where that is impossible.
    """
    problems = query(store, SHARED_SQL.format(before=before.run_id, after=after.run_id)).to_pylist()
    shared = {row["problem_id"]: row for row in problems}
    methods = {use.method_id for use in before.stages if use.kind == StageKind.SELECT}
    choices: dict[Choice, list[Row]] = {}
    sides = _Side(store, before), _Side(store, after)
    for method_id in dict.fromkeys(use.method_id for use in after.stages if use.kind == StageKind.SELECT):
        if method_id is not None and method_id in methods and shared:
            choices |= _paired(method_id, shared, *_alike(sides, method_id))
    return Paired(choices, tuple(side.run.run_id for side in sides if side.regraded))


class _Side:
    """The choices of one run, as stored or graded again."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.regraded = False
        self._stored = query(store, SELECTIONS_SQL.format(run_id=run.run_id)).to_pylist()

    def graders(self, method_id: str) -> Graders:
        uses = (use for use in self.run.stages if use.method_id == method_id)
        return graders_of(self.store, (use for use in uses if use.kind in (StageKind.GRADE, StageKind.SELECT)))

    def stored(self, method_id: str) -> list[Row]:
        return [row for row in self._stored if row["method_id"] == method_id]

    def current(self, method_id: str) -> list[Row]:
        """The choices by today's grader; graded again where the stored ones are another's."""
        if self.graders(method_id) == current_graders(self.run):
            return self.stored(method_id)
        self.regraded = True
        try:
            with regrading(self.store, self.run) as anew:
                return anew.selections(method_id)
        except StorageError as error:
            raise StorageError(
                f"the runs were graded by different graders, and the rollouts of {self.run.run_id} cannot be graded by "
                f"today's: {error}"
            ) from error


def _alike(sides: tuple[_Side, _Side], method_id: str) -> tuple[list[Row], list[Row]]:
    """The choices of both runs by one grader."""
    first, second = sides
    if first.graders(method_id) == second.graders(method_id):
        return first.stored(method_id), second.stored(method_id)
    return first.current(method_id), second.current(method_id)


def _paired(method_id: str, shared: Mapping[str, Row], before: list[Row], after: list[Row]) -> dict[Choice, list[Row]]:
    place = places(row["selector"] for row in (*before, *after))

    def key(row: Row) -> tuple[int, int, str]:
        return place[row["selector"]], row["n"], row["problem_id"]

    earlier = {key(row): row for row in before}
    pairs: dict[Choice, list[Row]] = {}
    for row in sorted(after, key=key):
        if key(row) in earlier and row["problem_id"] in shared:
            both = shared[row["problem_id"]] | {"method_id": method_id, "selector": row["selector"], "n": row["n"]}
            for when, side in (("before", earlier[key(row)]), ("after", row)):
                both |= {when: side["accuracy"], f"answer_{when}": side["answer"], f"right_{when}": side["correct"]}
                both[f"unknown_{when}"] = _unknown(side)
            pairs.setdefault((method_id, row["selector"], row["n"]), []).append(both)
    return {choice: rows for choice, rows in pairs.items() if any(map(_is_known, rows))}


def _unknown(row: Row) -> float:
    """The share of choices without a known verdict; older parts only have the verdict of the choice itself."""
    return float(row["correct"] is None) if row["unknown"] is None else row["unknown"]


def _is_known(row: Row) -> bool:
    return row["before"] is not None and row["after"] is not None


def _lost(row: Row) -> bool:
    return row["right_before"] is True and row["right_after"] is False


def _won(row: Row) -> bool:
    return row["right_before"] is False and row["right_after"] is True


def difference_of(rows: Sequence[Row], confidence: float = CONFIDENCE) -> Difference:
    """The difference over one group of paired choices."""
    known = [row for row in rows if _is_known(row)]
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
