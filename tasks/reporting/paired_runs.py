"""The choices of two runs paired by problem, one choice (method, selector, n) at a time, all by one grader."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.selectors import places
from overthink.tasks.plan.regrading import regrading
from overthink.tasks.stages.identity import Graders, current_graders, graders_of

Row = dict[str, Any]
SHARED_SQL = """
SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{before}'
INTERSECT
SELECT problem_id, question, reference FROM problems JOIN runs USING (problem_set) WHERE run_id = '{after}'"""

SELECTIONS_SQL = """SELECT method_id, problem_id, selector, n, answer, correct, accuracy, unknown
FROM selections WHERE run_id = '{run_id}'"""

Choice = tuple[str, str, int]  # method, selector, n
OF_CHOICE = ["problem_id", "answer", "correct", "accuracy", "unknown"]


class PairedRuns:
    """The choices of two runs on their common problems, by one grader.

    Where the graders of a method differ, its rollouts are graded again in the runs whose grader is not today's.
    """

    def __init__(self, store: Store, before: Run, after: Run) -> None:
        problems = query(store, SHARED_SQL.format(before=before.run_id, after=after.run_id)).to_pylist()
        self._shared = {row["problem_id"]: row for row in problems}
        self._sides = _Side(store, before), _Side(store, after)

    def choices(self) -> Iterator[tuple[Choice, list[Row]]]:
        """Each common choice with one row per common problem, one choice at a time; methods in the later run's order.

        Raises StorageError where a method cannot be graded again.
        """
        before, after = (_selecting(side.run) for side in self._sides)
        for method_id in after:
            if method_id in before and self._shared:
                for (selector, n), rows in _paired(self._shared, *_alike(self._sides, method_id)):
                    for row in rows:
                        row.update(method_id=method_id, selector=selector, n=n)
                    yield (method_id, selector, n), rows

    @property
    def regraded(self) -> tuple[str, ...]:
        """The runs that were graded again for the choices so far."""
        return tuple(side.run.run_id for side in self._sides if side.regraded)


def _selecting(run: Run) -> list[str]:
    """The methods of a run that choose."""
    methods = dict.fromkeys(use.method_id for use in run.stages if use.kind == StageKind.SELECT)
    return [method_id for method_id in methods if method_id is not None]


class _Side:
    """The choices of one run, as stored or graded again."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.regraded = False
        self._stored = query(store, SELECTIONS_SQL.format(run_id=run.run_id))

    def graders(self, method_id: str) -> Graders:
        uses = (use for use in self.run.stages if use.method_id == method_id)
        return graders_of(self.store, (use for use in uses if use.kind in (StageKind.GRADE, StageKind.SELECT)))

    def stored(self, method_id: str) -> pa.Table:
        return self._stored.filter(pc.equal(self._stored["method_id"], method_id))

    def current(self, method_id: str) -> pa.Table:
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


def _alike(sides: tuple[_Side, _Side], method_id: str) -> tuple[pa.Table, pa.Table]:
    """The choices of both runs by one grader."""
    first, second = sides
    if first.graders(method_id) == second.graders(method_id):
        return first.stored(method_id), second.stored(method_id)
    return first.current(method_id), second.current(method_id)


def _paired(
    shared: Mapping[str, Row], before: pa.Table, after: pa.Table
) -> Iterator[tuple[tuple[str, int], list[Row]]]:
    """The selectors and budgets of both tables of choices, with a row for each shared problem by its id."""
    place = places((*before["selector"].unique().to_pylist(), *after["selector"].unique().to_pylist()))
    found = after.select(["selector", "n"]).group_by(["selector", "n"]).aggregate([]).to_pylist()
    for selector, n in sorted(((row["selector"], row["n"]) for row in found), key=lambda one: (place[one[0]], one[1])):
        earlier = {row["problem_id"]: row for row in _of_choice(before, selector, n)}
        rows = [
            shared[row["problem_id"]] | _both(earlier[row["problem_id"]], row)
            for row in sorted(_of_choice(after, selector, n), key=itemgetter("problem_id"))
            if row["problem_id"] in earlier and row["problem_id"] in shared
        ]
        if any(map(is_known, rows)):
            yield (selector, n), rows


def _of_choice(choices: pa.Table, selector: str, n: int) -> list[Row]:
    here = pc.and_(pc.equal(choices["selector"], selector), pc.equal(choices["n"], n))
    return list(choices.select(OF_CHOICE).filter(here).to_pylist())


def _both(before: Row, after: Row) -> Row:
    both: Row = {}
    for when, side in (("before", before), ("after", after)):
        both |= {when: side["accuracy"], f"answer_{when}": side["answer"], f"right_{when}": side["correct"]}
        both[f"unknown_{when}"] = _unknown(side)
    return both


def _unknown(row: Row) -> float:
    """The share of choices without a known verdict; older parts only have the verdict of the choice itself."""
    return float(row["correct"] is None) if row["unknown"] is None else row["unknown"]


def is_known(row: Row) -> bool:
    """Whether a row of paired choices has an accuracy in both runs."""
    return row["before"] is not None and row["after"] is not None
