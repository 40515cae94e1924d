"""Stage select: for every budget and selector, the answer chosen and the accuracy to expect."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from prefect import task

from storage.stages import Cover, Entry, Stage
from tasks.analysis.estimators import Estimate, estimates
from tasks.analysis.intervals import mean_interval
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
    selectors = [selector for selector in work.selectors if work.scores is not None or not needs_prm(selector)]
    chosen: dict[tuple[Selector, int], list[dict[str, Any]]] = {
        (selector, n): [] for selector in selectors for n in work.budgets
    }
    for unit in cover.units:
        problem = work.problems[unit]
        expected = {} if problem.reference is None else _expected(work, rollouts[unit].all, selectors)
        for (selector, n), rows in chosen.items():
            rows.append(selection(problem, rollouts[unit], selector, n, expected.get((selector, n))))
        work.on_problem()
    tables = {
        "selections": rows_table("selections", [row for rows in chosen.values() for row in rows]),
        "estimates": rows_table("estimates", [row for rows in chosen.values() for row in over_problems(rows)]),
    }
    sources = work.grades.digests("answers", cover.units)
    if work.scores is not None:
        sources += work.scores.digests("scores", cover.units)
    return work.stage.write_part(cover, tables, sources)


@dataclass(frozen=True)
class Graded:
    """One problem's rollouts, ready to be chosen from, by ascending sample index."""

    answers: Sequence[str | None]
    correct: Sequence[bool | None]
    all: Candidates


def _expected(
    work: SelectWork, rollouts: Candidates, selectors: Sequence[Selector]
) -> dict[tuple[Selector, int], Estimate]:
    if work.independent:
        return estimates(selectors, rollouts, work.budgets, work.seed)
    # Of rollouts that are not independent only the first n stand for n, be they fewer; none at all answer nothing.
    found: dict[tuple[Selector, int], Estimate] = {}
    for n in work.budgets:
        pool = rollouts.first(n)
        together = estimates(selectors, pool, [pool.count], work.seed) if pool.count else {}
        found |= {(one, n): together.get((one, pool.count), Estimate(0.0, "exact")) for one in selectors}
    return found


def selection(
    problem: Problem, rollouts: Graded, selector: Selector, n: int, expected: Estimate | None
) -> dict[str, Any]:
    """What a selector chooses among the first n rollouts; `expected` is None where there is no reference."""
    chosen = choose(selector, rollouts.all.first(n))
    unanswered = None if problem.reference is None else False
    return {
        "problem_id": problem.problem_id,
        "n": n,
        "selector": selector,
        "answer": None if chosen is None else rollouts.answers[chosen],
        "correct": unanswered if chosen is None else rollouts.correct[chosen],
        "accuracy": None if expected is None else expected.accuracy,
        "estimator": None if expected is None else expected.estimator,
    }


def over_problems(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The accuracy over the problems of one selector and budget, as a row; none where no problem has a reference."""
    judged = [row for row in rows if row["accuracy"] is not None]
    if not judged:
        return []
    accuracies = np.array([row["accuracy"] for row in judged])
    low, high = mean_interval(accuracies) or (None, None)
    return [
        {
            "selector": judged[0]["selector"],
            "n": judged[0]["n"],
            "problems": len(judged),
            "accuracy": float(accuracies.mean()),
            "ci_low": low,
            "ci_high": high,
            "estimator": judged[0]["estimator"],
        }
    ]


def read_graded(grades: Stage, scores: Stage | None, cover: Cover) -> dict[str, Graded]:
    """The graded (and, where there is a PRM, scored) rollouts of a shard, by problem key."""
    correct = column_by_rollout(grades.table("grades"), "correct")
    steps = None if scores is None else by_rollout(scores.table("scores"), "score")
    rows: dict[str, list[dict[str, Any]]] = {unit: [] for unit in cover.units}
    for row in covered_rows(grades.table("answers"), cover).to_pylist():
        rows[row["problem_key"]].append(row)
    graded: dict[str, Graded] = {}
    for unit, group in rows.items():
        answers = [row["answer_key"] for row in group]
        judged = [correct[row["rollout_id"]] for row in group]
        scored = None if steps is None else [steps[row["rollout_id"]] for row in group]
        graded[unit] = Graded(answers, judged, candidates(answers, judged, scored))
    return graded


def together(first: Graded, then: Graded) -> Graded:
    """Two pools of one problem's rollouts as one, in this order; answers of one key are one group in it."""
    answers, correct = [*first.answers, *then.answers], [*first.correct, *then.correct]
    scores = {name: np.concatenate([first.all.scores[name], then.all.scores[name]]) for name in first.all.scores}
    return Graded(answers, correct, replace(candidates(answers, correct, None), scores=scores))


def column_by_rollout(table: pa.Table, column: str) -> dict[str, Any]:
    """One column of a table with a row a rollout, by rollout id, in the order of the table."""
    return dict(zip(table["rollout_id"].to_pylist(), table[column].to_pylist(), strict=True))
