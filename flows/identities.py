"""What the stages' keys are hashes of: all that determines what a stage holds, and nothing else."""

from importlib.metadata import version
from typing import Any

from flows.recipe import GradingConfig
from storage.keys import content_key, labelled_key
from storage.schemas import SCHEMA_VERSION
from tasks.analysis.estimators import SUBSETS
from tasks.analysis.intervals import KIND
from tasks.analysis.selectors import Selector
from tasks.problems.sources import ProblemSet

JsonObject = dict[str, Any]


def stage_identity(stage: str, **determinants: Any) -> JsonObject:
    """What a stage's key is the hash of."""
    return {"schema_version": SCHEMA_VERSION, "stage": stage, **determinants}


def problems_identity(problem_set: ProblemSet) -> JsonObject:
    """What the stage of a problem set holds."""
    problems = [[problem.problem_key, problem.reference] for problem in problem_set.problems]
    return stage_identity("problems", problem_set=problem_set.name, problems=problems)


def grade_identity(rollouts_key: str, grading: GradingConfig, problems: JsonObject) -> JsonObject:
    """What the grades of a stage's rollouts depend on."""
    return stage_identity(
        "grade",
        samples=rollouts_key,
        grading=grading.model_dump(),
        grader={"math-verify": version("math-verify")},
        references=content_key(problems["problems"]),
    )


def select_identity(
    grade: JsonObject,
    scores_key: str | None,
    problems: JsonObject,
    n: int,
    budgets: tuple[int, ...],
    selectors: tuple[Selector, ...],
    seed: int,
) -> JsonObject:
    """What the choices among graded, perhaps scored, rollouts depend on."""
    return stage_identity(
        "select",
        grades=labelled_key("grade", grade),
        scores=scores_key,
        problems=labelled_key("problems", problems),
        n=n,
        budgets=budgets,
        selectors=selectors,
        monte_carlo={"subsets": SUBSETS, "all_where_few": True, "seed": seed},
        intervals=KIND,
    )
