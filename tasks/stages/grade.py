"""The grade stage: each rollout's answer, its canonical form, and whether it is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.domains.domain import Judge, Judged
from overthink.tasks.domains.program_domain import ProgramDomain
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.records import Problem
from overthink.tasks.stages.answers import answer_in, reading, rollouts_by_problem
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.graded import on_all_cores
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.node import Input, PlainNode
from overthink.tasks.stages.program_columns import program_columns
from overthink.tasks.stages.run_tests import Results, read_results
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
    """The answers and grades of the rollouts of another stage; those of programs are what their `tests` say."""

    kind: ClassVar[StageKind] = StageKind.GRADE
    tables: ClassVar[tuple[str, ...]] = ("answers", "grades")

    rollouts: Input
    grader: Grader
    tests: Input | None = None

    @property
    def identity(self) -> JsonObject:
        """The rollouts, the references and the grader; of programs their tests."""
        return stage_identity(
            self.kind,
            samples=self.rollouts.key,
            **reading(self.problems, self.grader),
            **({} if self.tests is None else {"tests": self.tests.key}),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The rollouts, and what became of their programs."""
        tests = () if self.tests is None else ((self.tests, "test_results"),)
        return ((self.rollouts, "rollouts"), *tests)

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Grade one shard's rollouts, on all cores."""
        rollouts = context.stage_of(self.rollouts.key).table("rollouts", extent.units)
        by_problem = rollouts_by_problem(rows_within(rollouts, extent))
        results = None if self.tests is None else read_results(context.stage_of(self.tests.key), extent.units)

        def graded(unit: str) -> tuple[list[Row], list[Row]]:
            problem = self.problems.by_key[unit]
            rows = grade_rollouts(problem, by_problem.get(unit, []), self.grader, context.judge, results)
            context.on_problem(unit)
            return rows

        found = on_all_cores(graded, extent.units)
        return {
            "answers": rows_table("answers", [row for answers, _ in found for row in answers]),
            "grades": rows_table("grades", [row for _, grades in found for row in grades]),
        }


def grade_rollouts(
    problem: Problem, rollouts: list[Row], grader: Grader, judge: Judge, results: Mapping[str, Results] | None = None
) -> tuple[list[Row], list[Row]]:
    """The rows of `answers` and of `grades` for one problem's rows of `rollouts`; `results` are those of programs."""
    found = [answer_in(problem, row, grader) for row in rollouts]
    judged = judge_answers(problem, found, judge)
    ran = results or {}
    if isinstance(grader.domain, ProgramDomain) and problem.reference is not None:
        pairs = zip(rollouts, judged, strict=True)
        judged = [_tested(problem, one, ran.get(row["rollout_id"]), grader.domain) for row, one in pairs]
    answers, grades = [], []
    for row, answer, one in zip(rollouts, found, judged, strict=True):
        identity = {name: row[name] for name in ("problem_key", "problem_id", "rollout_id", "sample_index")}
        key = None if one is None else one.key
        answers.append(
            identity | {"answer": answer, "answer_key": key} | program_columns(ran.get(row["rollout_id"], ()))
        )
        who = {"grader": grader.name, "grader_version": grader.domain.version}
        verdict = {"reference": problem.reference, **_verdict(problem, one)}
        if row["stop_reason"] == "confidence":
            verdict["detail"] = NO_VOTE
        grades.append({"rollout_id": row["rollout_id"], **who, **verdict})
    return answers, grades


def _tested(problem: Problem, judged: Judged | None, results: Results | None, domain: ProgramDomain) -> Judged | None:
    """An answer with the verdict of its tests; where it is no program, or was not run, as it was judged."""
    if judged is None or results is None:
        return judged
    return Judged(judged.key, *domain.verdict(problem, results))


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
