"""Stage grade: each rollout's answer, its group of equal answers, and whether it is right."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from prefect import task

from storage.stages import Cover, Entry, Stage
from tasks.deciding import Pilot
from tasks.problems.answers import Extraction, extract_answer
from tasks.problems.equality import Compare, EqualityJudge, group_answers
from tasks.records import Problem
from tasks.scoring import covered_rows
from tasks.shards import PLAIN_TASK, rows_table

NO_REFERENCE = "no reference to compare with"
DETAILS = {
    "equal": "equals the reference",
    "different": "differs from the reference",
    "unknown": "comparison was cut off by its time or memory limit",
}


class GradeWork:
    """Everything the shards of one grade stage share. (Not a dataclass: Prefect would walk through its fields.)

    `pilot` are the rollouts before those in `samples`, if they lie in stages of their own: their keys are gone on with.
    """

    def __init__(
        self,
        stage: Stage,
        samples: Stage,
        problems: Mapping[str, Problem],
        extraction: Extraction,
        time_limit: float,
        on_problem: Callable[[], None],
        pilot: Pilot | None = None,
    ) -> None:
        self.stage = stage
        self.samples = samples
        self.problems = problems
        self.extraction = extraction
        self.time_limit = time_limit
        self.on_problem = on_problem
        self.pilot = pilot

    def digests(self, units: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The sha256 of what is graded, and of the answers whose keys are gone on with."""
        known = () if self.pilot is None else self.pilot.grades.digests("answers", units)
        return self.samples.digests("rollouts", units) + known


@task(name="grade", task_run_name="grade {cover.name}", **PLAIN_TASK)
async def grade(work: GradeWork, cover: Cover) -> Entry:
    """Grade one shard's rollouts and write its part. Raises StorageError."""
    return await asyncio.to_thread(_grade, work, cover)


def _grade(work: GradeWork, cover: Cover) -> Entry:
    rollouts = covered_rows(work.samples.table("rollouts", cover.units), cover)
    by_problem = _by_problem(rollouts)
    known = _known_keys(work.stage, Cover(cover.units, 0, cover.first))
    if work.pilot is not None:
        known = _known_keys(work.pilot.grades, Cover(cover.units, 0, work.pilot.n))
    answers: list[dict[str, Any]] = []
    grades: list[dict[str, Any]] = []
    with EqualityJudge(work.time_limit) as judge:
        for unit in cover.units:
            problem, rows = work.problems[unit], by_problem.get(unit, [])
            found = [extract_answer(row["text"], work.extraction) for row in rows]
            keys = group_answers(found, known.setdefault(unit, []), judge.compare)
            for row, answer, key in zip(rows, found, keys, strict=True):
                identity = {name: row[name] for name in ("problem_key", "problem_id", "rollout_id", "sample_index")}
                answers.append(identity | {"answer": answer, "answer_key": key})
                grades.append({"rollout_id": row["rollout_id"], **grade_answer(problem, key, judge.compare)})
            work.on_problem()
    for row in grades:
        row["grader"] = f"math-verify ({work.extraction})"
    tables = {"answers": rows_table("answers", answers), "grades": rows_table("grades", grades)}
    return work.stage.write_part(cover, tables, work.digests(cover.units))


def grade_answer(problem: Problem, answer: str | None, compare: Compare) -> dict[str, Any]:
    """The verdict on one answer: `correct` is None without a reference, or where the comparison was not finished."""
    if problem.reference is None:
        return {"correct": None, "detail": NO_REFERENCE, "reference": None}
    if answer is None:
        return {"correct": False, "detail": "no answer found", "reference": problem.reference}
    verdict = compare(problem.reference, answer)
    correct = None if verdict == "unknown" else verdict == "equal"
    return {"correct": correct, "detail": DETAILS[verdict], "reference": problem.reference}


def _by_problem(rollouts: pa.Table) -> dict[str, list[dict[str, Any]]]:
    by_problem: dict[str, list[dict[str, Any]]] = {}
    for row in rollouts.to_pylist():
        by_problem.setdefault(row["problem_key"], []).append(row)
    return by_problem


def _known_keys(stage: Stage, earlier_samples: Cover) -> dict[str, list[str]]:
    """The answer keys that earlier samples of the same problems already have, in the order they were met."""
    earlier = covered_rows(stage.table("answers", earlier_samples.units), earlier_samples)
    known: dict[str, dict[str, None]] = {}
    for unit, key in zip(earlier["problem_key"].to_pylist(), earlier["answer_key"].to_pylist(), strict=True):
        if key is not None:
            known.setdefault(unit, {})[key] = None
    return {unit: list(keys) for unit, keys in known.items()}
