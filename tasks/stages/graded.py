"""Stored graded rollouts, and the groups of equal answers among those that a selector chooses from."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from overthink.storage.manifest import Extent
from overthink.storage.stages import Stage
from overthink.tasks.analysis.selectors import Candidates, candidates
from overthink.tasks.analysis.signals import CLASS_NAMES, TEST_SIGNALS, ClassName, SignalName
from overthink.tasks.domains.domain import Judge
from overthink.tasks.stages.score import by_rollout, rows_within

ROLLOUTS_AT_ONCE = 20_000  # with their answers and scores some 70 MB of Python's objects
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class GradedRollout:
    """One rollout; `answer` is as written, None where there is none.

    `key` is the answer's canonical form, `correct` is None where unknown, `scores` holds a number in [0, 1] for each
    step, and is None where no PRM scored the rollouts. `signals` are those that were asked for and those of tests, None
    where unknown; `classes` names the class of a program, None where it belongs to none.
    """

    rollout_id: str
    sample_index: int
    answer: str | None
    key: str | None
    correct: bool | None
    scores: Sequence[float] | None = None
    signals: Mapping[SignalName, float | None] = field(default_factory=dict)
    classes: Mapping[ClassName, str | None] = field(default_factory=dict)


Graded = Sequence[GradedRollout]  # of one problem, in the order of the sample index


@dataclass(frozen=True)
class Pool:
    """The rollouts of one problem that a selector chooses from, with equal answers grouped.

    `groups` names the group of each rollout by the smallest key of its answers, None where there is no answer.
    """

    rollouts: Graded
    groups: Sequence[str | None]
    all: Candidates


@dataclass(frozen=True)
class SignalSource:
    """The stage that holds the rollouts, and which of their signals are wanted."""

    rollouts: Stage
    wanted: Sequence[SignalName]

    def of(self, units: Sequence[str]) -> dict[str, dict[SignalName, float | None]]:
        """The signals of the rollouts of some problems, by rollout id; None where unknown."""
        table = self.rollouts.table("rollouts", units)
        columns = {signal: _signal(table, signal).to_pylist() for signal in self.wanted}
        return {
            rollout_id: {signal: column[place] for signal, column in columns.items()}
            for place, rollout_id in enumerate(table["rollout_id"].to_pylist())
        }


def _signal(table: pa.Table, signal: SignalName) -> pa.ChunkedArray:
    if signal != "logprob_mean":
        return table[signal]
    # Rollouts that were stored before the column was, hold what it is made of.
    tokens = table["completion_tokens"]
    written = pc.if_else(pc.greater(tokens, 0), tokens, None)
    return pc.coalesce(table[signal], pc.divide(table["logprob_sum"], pc.cast(written, pa.float64())))


def in_batches(extent: Extent) -> Iterator[Extent]:
    """The problems of an extent, with some ROLLOUTS_AT_ONCE rollouts at a time."""
    size = max(1, ROLLOUTS_AT_ONCE // max(1, extent.last - extent.first))
    for begin in range(0, len(extent.units), size):
        yield Extent(extent.units[begin : begin + size], extent.first, extent.last)


def read_graded(
    grades: Stage, scores: Stage | None, extent: Extent, signals: SignalSource | None = None
) -> dict[str, Graded]:
    """The graded (and, where there is a PRM, scored) rollouts of a shard, by problem key."""
    known = {} if signals is None else signals.of(extent.units)
    answers = rows_within(grades.table("answers", extent.units), extent)
    correct = column_by_rollout(_of_rollouts(grades.table("grades", extent.units), answers), "correct")
    steps = None if scores is None else by_rollout(_of_rollouts(scores.table("scores", extent.units), answers), "score")
    graded: dict[str, list[GradedRollout]] = {unit: [] for unit in extent.units}
    for row in answers.to_pylist():
        rollout_id = row["rollout_id"]
        scored = None if steps is None else steps[rollout_id]
        identity = (rollout_id, row["sample_index"], row["answer"], row["answer_key"])
        more = {name: row[name] for name in TEST_SIGNALS} | (known[rollout_id] if known else {})
        classes = {name: row[name] for name in CLASS_NAMES}
        graded[row["problem_key"]].append(GradedRollout(*identity, correct[rollout_id], scored, more, classes))
    return dict(graded)


def _of_rollouts(table: pa.Table, answers: pa.Table) -> pa.Table:
    """The rows of some answers' rollouts: the first samples of a stage may be few of those that it holds."""
    return table.filter(pc.is_in(table["rollout_id"], answers["rollout_id"].combine_chunks()))


def join(rollouts: Graded, judge: Judge) -> Pool:
    """Group the equal answers among one problem's rollouts; the groups do not depend on the order of the rollouts."""
    answered = [rollout for rollout in rollouts if rollout.answer is not None]
    numbers = judge.groups([str(rollout.answer) for rollout in answered])
    least: dict[int, str] = {}
    for number, rollout in zip(numbers, answered, strict=True):
        least[number] = min(least.get(number, str(rollout.key)), str(rollout.key))
    found = {rollout.rollout_id: least[number] for number, rollout in zip(numbers, answered, strict=True)}
    groups = [found.get(rollout.rollout_id) for rollout in rollouts]
    scores = [rollout.scores for rollout in rollouts if rollout.scores is not None]
    scored = scores if len(scores) == len(rollouts) else None
    named = rollouts[0].signals if rollouts else {}
    signals = {name: [rollout.signals[name] for rollout in rollouts] for name in named}
    together = rollouts[0].classes if rollouts else {}
    classes = {name: [rollout.classes[name] for rollout in rollouts] for name in together}
    correct = [rollout.correct for rollout in rollouts]
    return Pool(rollouts, groups, candidates(groups, correct, scored, signals, classes))


def join_all(graded: Mapping[str, Graded], judge: Judge) -> dict[str, Pool]:
    """`join` for many problems, on all cores."""
    pools = on_all_cores(lambda rollouts: join(rollouts, judge), graded.values())
    return dict(zip(graded, pools, strict=True))


def on_all_cores(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map `work` over the items, in order, with a thread for each core; for work that waits for a judge's processes."""
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as threads:
        return list(threads.map(work, items))


def tokens_by_problem(made: Stage, extent: Extent) -> dict[str, list[int]]:
    """The completion tokens of the rollouts of an extent, by problem key."""
    table = rows_within(made.table("rollouts", extent.units), extent)
    tokens: dict[str, list[int]] = {unit: [] for unit in extent.units}
    for unit, count in zip(table["problem_key"].to_pylist(), table["completion_tokens"].to_pylist(), strict=True):
        tokens[unit].append(count)
    return tokens


def column_by_rollout(table: pa.Table, column: str) -> dict[str, Any]:
    """One column of a table with one row per rollout, by rollout id, in the order of the table."""
    return dict(zip(table["rollout_id"].to_pylist(), table[column].to_pylist(), strict=True))
