"""Stage select: for every budget and selector, the answer chosen and the accuracy to expect."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from prefect import task

from storage.stages import Cover, Entry, Stage
from tasks.analysis.estimators import Estimate, bootstrap_interval, estimate
from tasks.analysis.selectors import Candidates, Selector, candidates, choose, needs_prm
from tasks.records import Problem
from tasks.scoring import by_rollout, covered_rows
from tasks.shards import PLAIN_TASK, rows_table


class SelectWork:
    """What one select stage reads. (Not a dataclass: Prefect would walk through its fields.)"""

    def __init__(
        self,
        stage: Stage,
        grades: Stage,
        scores: Stage | None,
        problems: Mapping[str, Problem],
        selectors: Sequence[Selector],
        budgets: Sequence[int],
        independent: bool,
        seed: int,
        on_problem: Callable[[], None],
    ) -> None:
        self.on_problem = on_problem
        self.stage = stage
        self.grades = grades
        self.scores = scores
        self.problems = problems
        self.selectors = selectors
        self.budgets = budgets
        self.independent = independent
        self.seed = seed


@task(name="select", task_run_name="select {cover.name}", **PLAIN_TASK)
async def select(work: SelectWork, cover: Cover) -> Entry:
    """Select over all problems of the run and write the part. Raises StorageError."""
    return await asyncio.to_thread(_select, work, cover)


def _select(work: SelectWork, cover: Cover) -> Entry:
    rollouts = read_graded(work.grades, work.scores, cover)
    selections: list[dict[str, Any]] = []
    estimates: list[dict[str, Any]] = []
    for selector in work.selectors:
        if needs_prm(selector) and work.scores is None:
            continue
        for n in work.budgets:
            rows = [_selection(work, rollouts[unit], unit, selector, n) for unit in cover.units]
            selections += rows
            estimates.append({"selector": selector, "n": n, **_over_problems(rows, work.seed)})
    for _ in cover.units:
        work.on_problem()
    tables = {"selections": rows_table("selections", selections), "estimates": rows_table("estimates", estimates)}
    sources = work.grades.digests("answers", cover.units)
    if work.scores is not None:
        sources += work.scores.digests("scores", cover.units)
    return work.stage.write_part(cover, tables, sources)


class Graded:
    """One problem's rollouts, ready to be chosen from, by ascending sample index."""

    def __init__(
        self,
        answers: Sequence[str | None],
        correct: Sequence[bool | None],
        scores: Sequence[Sequence[float]] | None,
    ) -> None:
        self.answers = answers
        self.correct = correct
        self._scores = scores
        self.all = candidates(answers, correct, scores)

    def first(self, n: int) -> Candidates:
        """The first n of them."""
        return candidates(self.answers[:n], self.correct[:n], None if self._scores is None else self._scores[:n])


def _selection(work: SelectWork, rollouts: Graded, unit: str, selector: Selector, n: int) -> dict[str, Any]:
    chosen = choose(selector, rollouts.first(n))
    # Of rollouts that are not independent only the first n stand for n, be they fewer; none at all answer nothing.
    pool = rollouts.all if work.independent else rollouts.first(n)
    size = n if work.independent else pool.count
    expected = estimate(selector, pool, size, work.seed) if pool.count else Estimate(0.0, "exact")
    return {
        "problem_id": work.problems[unit].problem_id,
        "n": n,
        "selector": selector,
        "answer": None if chosen is None else rollouts.answers[chosen],
        "correct": False if chosen is None else rollouts.correct[chosen],
        "accuracy": expected.accuracy,
        "estimator": expected.estimator,
    }


def _over_problems(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    accuracies = np.array([row["accuracy"] for row in rows])
    low, high = bootstrap_interval(accuracies, seed) or (None, None)
    return {
        "problems": len(rows),
        "accuracy": float(accuracies.mean()),
        "ci_low": low,
        "ci_high": high,
        "estimator": rows[0]["estimator"],
    }


def read_graded(grades: Stage, scores: Stage | None, cover: Cover) -> dict[str, Graded]:
    """The graded (and, where there is a PRM, scored) rollouts of a shard, by problem key."""
    correct = column_by_rollout(grades.table("grades"), "correct")
    steps = None if scores is None else by_rollout(scores.table("scores"), "score")
    rows: dict[str, list[dict[str, Any]]] = {unit: [] for unit in cover.units}
    for row in covered_rows(grades.table("answers"), cover).to_pylist():
        rows[row["problem_key"]].append(row)
    return {
        unit: Graded(
            [row["answer_key"] for row in group],
            [correct[row["rollout_id"]] for row in group],
            None if steps is None else [steps[row["rollout_id"]] for row in group],
        )
        for unit, group in rows.items()
    }


def column_by_rollout(table: pa.Table, column: str) -> dict[str, Any]:
    """One column of a table with a row a rollout, by rollout id, in the order of the table."""
    return dict(zip(table["rollout_id"].to_pylist(), table[column].to_pylist(), strict=True))
