"""What the stages' keys are hashes of: all that determines what a stage holds, and nothing else."""

from typing import Any

from overthink.storage.keys import content_key, labelled_key
from overthink.storage.schemas import SCHEMA_VERSION
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.analysis.estimators import SUBSETS
from overthink.tasks.analysis.intervals import KIND
from overthink.tasks.datasets.sources import ProblemSet
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.stages.select import SelectSettings

JsonObject = dict[str, Any]

# Versions of our own code where it determines what a stage holds: raise one with every change of what it computes. Only
# those above 1 enter keys, so that what earlier versions stored keeps its address. A domain's version is its own.
VERSIONS = {
    "extraction": 2,  # tasks/domains/math/extraction.py, by which `adaptive` stops
    "candidates": 1,  # tasks/methods/candidates.py: which drawn steps count, and when a path ends
    "decision": 1,  # tasks/strategy/decisions.py, tasks/analysis/difficulty.py and allocation.py
    "labels": 1,  # tasks/stages/label.py, tasks/methods/continuations.py
    "selection": 2,  # tasks/stages/select.py and choosing.py, tasks/analysis/selectors.py and estimators.py
    "rollout_measures": 2,  # tasks/stages/measure.py: a PRM held against graded rollouts
    "solution_measures": 1,  # and against labelled solutions
}


def stage_identity(kind: StageKind, **determinants: Any) -> JsonObject:
    """What a stage's key is the hash of."""
    return {"schema_version": SCHEMA_VERSION, "stage": kind, **determinants}


def own_code(*parts: str) -> JsonObject:
    """The versions of some of our own code, as part of an identity."""
    later = {part: VERSIONS[part] for part in parts if VERSIONS[part] > 1}
    return {"code": later} if later else {}


def problems_identity(problem_set: ProblemSet) -> JsonObject:
    """What the stage of a problem set holds."""
    problems = [[problem.problem_key, problem.reference] for problem in problem_set.problems]
    return stage_identity(StageKind.PROBLEMS, problem_set=problem_set.name, problems=problems)


def grade_identity(rollouts_key: str, grader: Grader, problems: JsonObject) -> JsonObject:
    """What the grades of a stage's rollouts depend on."""
    return stage_identity(
        StageKind.GRADE,
        samples=rollouts_key,
        grading=grader.grading.model_dump(),
        grader=grader.identity(),
        references=content_key(problems["problems"]),
    )


def select_identity(
    grade: JsonObject,
    scores_key: str | None,
    problems: JsonObject,
    n: int,
    settings: SelectSettings,
) -> JsonObject:
    """What the choices among graded, perhaps scored, rollouts depend on."""
    return stage_identity(
        StageKind.SELECT,
        grades=labelled_key(StageKind.GRADE, grade),
        scores=scores_key,
        problems=labelled_key(StageKind.PROBLEMS, problems),
        n=n,
        budgets=settings.budgets,
        selectors=settings.selectors,
        independent=settings.independent,
        monte_carlo={"subsets": SUBSETS, "all_where_few": True, "seed": settings.seed},
        intervals=KIND,
        **own_code("selection"),
        **plugin_identities("selectors", settings.selectors),
    )
