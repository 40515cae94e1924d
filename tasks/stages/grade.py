"""The grade stage: each rollout's answer, its canonical form, and whether it is right."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.determinants import determinants
from overthink.tasks.domains.domain import Judge, Judged
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.graded import on_all_cores
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.node import Input, PlainNode
from overthink.tasks.stages.score import rows_within

Row = dict[str, Any]
NO_REFERENCE = "no reference to compare with"
NO_ANSWER = "no answer found"
NO_VOTE = "ended by its confidence, so that it has no vote"
DETAILS = {  # a domain's own reasons are stored as they are
    "equal": "equals the reference",
    "different": "differs from the reference",
    "unknown": "could not be compared",
    "limit": "comparison was cut off by its time or memory limit",
    "unread": "the answer or the reference is mathematics that is not read, so only its text is compared",
    "undecided": "too large to compute, or too close to the reference to tell whether it differs",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class GradeNode(PlainNode):
    """The answers and grades of the rollouts of another stage."""

    kind: ClassVar[StageKind] = StageKind.GRADE
    tables: ClassVar[tuple[str, ...]] = ("answers", "grades")

    rollouts: Input
    grader: Grader

    @property
    def identity(self) -> JsonObject:
        """The rollouts, the references and the grader."""
        return stage_identity(
            self.kind,
            samples=self.rollouts.key,
            grading=determinants(self.grader.grading),
            grader=self.grader.identity(),
            references=content_key(self.problems.content),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The rollouts."""
        return ((self.rollouts, "rollouts"),)

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Grade one shard's rollouts, on all cores."""
        rollouts = context.stage_of(self.rollouts.key).table("rollouts", extent.units)
        by_problem = rollouts_by_problem(rows_within(rollouts, extent))

        def graded(unit: str) -> tuple[list[Row], list[Row]]:
            problem = self.problems.by_key[unit]
            rows = grade_rollouts(problem, by_problem.get(unit, []), self.grader, context.judge)
            context.on_problem()
            return rows

        found = on_all_cores(graded, extent.units)
        return {
            "answers": rows_table("answers", [row for answers, _ in found for row in answers]),
            "grades": rows_table("grades", [row for _, grades in found for row in grades]),
        }


def rollouts_by_problem(rollouts: pa.Table) -> dict[str, list[Row]]:
    """The rows of `rollouts`, by problem key."""
    by_problem: dict[str, list[Row]] = {}
    for row in rollouts.to_pylist():
        by_problem.setdefault(row["problem_key"], []).append(row)
    return by_problem


def grade_rollouts(problem: Problem, rollouts: list[Row], grader: Grader, judge: Judge) -> tuple[list[Row], list[Row]]:
    """The rows of `answers` and of `grades` for one problem's rows of `rollouts`."""
    found = [None if row["stop_reason"] == "confidence" else _answer(problem, row, grader) for row in rollouts]
    judged = judge_answers(problem, found, judge)
    answers, grades = [], []
    for row, answer, one in zip(rollouts, found, judged, strict=True):
        identity = {name: row[name] for name in ("problem_key", "problem_id", "rollout_id", "sample_index")}
        answers.append(identity | {"answer": answer, "answer_key": None if one is None else one.key})
        who = {"grader": grader.name, "grader_version": grader.domain.version}
        verdict = {"reference": problem.reference, **_verdict(problem, one)}
        if row["stop_reason"] == "confidence":
            verdict["detail"] = NO_VOTE
        grades.append({"rollout_id": row["rollout_id"], **who, **verdict})
    return answers, grades


def _answer(problem: Problem, row: Row, grader: Grader) -> str | None:
    """The answer; a policy that thinks may also answer at once, and then has 0 tokens of reasoning."""
    is_divided = row.get("reasoning_text") is not None or row.get("reasoning_tokens") is not None
    return grader.extract(problem, row["text"], is_divided)


def judge_answers(problem: Problem, answers: list[str | None], judge: Judge) -> list[Judged | None]:
    """The comparison of each answer to one problem with the reference; None for no answer."""
    judged = iter(judge.grade(problem, [answer for answer in answers if answer is not None]))
    return [None if answer is None else next(judged) for answer in answers]


def is_right(problem: Problem, judged: Judged | None) -> bool | None:
    """The verdict on one answer, or on none; None without a reference, or where the comparison did not finish."""
    if problem.reference is None:
        return None
    if judged is None:
        return False
    return {"equal": True, "different": False, "unknown": None, None: None}[judged.verdict]


def _verdict(problem: Problem, judged: Judged | None) -> Row:
    if problem.reference is None:
        detail = NO_REFERENCE
    elif judged is None or judged.verdict is None:
        detail = NO_ANSWER
    else:
        said = judged.reason or judged.verdict
        detail = DETAILS.get(said, said)
    return {"correct": is_right(problem, judged), "detail": detail}
