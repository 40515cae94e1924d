"""From a recipe to the content-addressed stages it stands on, before any engine is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from flows.methods import Adaptive, AnyMethod, Cot, Draws
from flows.recipe import GradingConfig, Recipe
from storage.keys import content_key, labelled_key
from storage.schemas import SCHEMA_VERSION
from storage.store import StageUse
from tasks.analysis.estimators import RESAMPLES, SUBSETS
from tasks.analysis.selectors import Selector
from tasks.engines.catalogue import EngineIdentity, identify
from tasks.engines.config import EngineConfig
from tasks.methods.protocol import Method
from tasks.problems.sources import ProblemSet
from tasks.records import Problem, Sampling

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class MethodPlan:
    """The stages of one method; each identity is what its key is the hash of.

    `make` is the stage that makes the rollouts: sample, or search, which scores them on the way.
    """

    method: AnyMethod
    budgets: tuple[int, ...]
    make: JsonObject
    score: JsonObject | None
    grade: JsonObject
    select: JsonObject

    @property
    def make_key(self) -> str:
        """The address of the stage that makes the rollouts; of independent ones, the same for every n."""
        return labelled_key(self.make["stage"], self.make)

    @property
    def score_key(self) -> str | None:
        """The score stage's address, where there is one."""
        return None if self.score is None else labelled_key("score", self.score)

    @property
    def scores_key(self) -> str | None:
        """The address of the stage that holds the step scores, where there are any."""
        return self.make_key if self.method.is_search else self.score_key

    @property
    def grade_key(self) -> str:
        """The grade stage's address."""
        return labelled_key("grade", self.grade)

    @property
    def select_key(self) -> str:
        """The select stage's address."""
        return labelled_key("select", self.select)

    def uses(self) -> list[StageUse]:
        """What the run's manifest says of this method."""
        method_id, n = self.method.method_id, self.method.n
        uses = [StageUse(self.make["stage"], self.make_key, method_id, n)]
        if self.score_key is not None:
            uses.append(StageUse("score", self.score_key, method_id, n))
        return [*uses, StageUse("grade", self.grade_key, method_id, n), StageUse("select", self.select_key, method_id)]


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know before it starts."""

    recipe: Recipe
    problem_set: ProblemSet
    policy: EngineIdentity
    prm: EngineIdentity | None
    problems: JsonObject
    methods: tuple[MethodPlan, ...]

    @property
    def by_key(self) -> dict[str, Problem]:
        """The problems by their content address."""
        return {problem.problem_key: problem for problem in self.problem_set.problems}

    @property
    def units(self) -> tuple[str, ...]:
        """The problems' content addresses, in the set's order."""
        return tuple(problem.problem_key for problem in self.problem_set.problems)

    @property
    def problems_key(self) -> str:
        """The address of the stage that holds the problems."""
        return labelled_key("problems", self.problems)

    @property
    def prm_id(self) -> str | None:
        """The PRM's name in the `scores` table."""
        return None if self.prm is None else self.prm.address

    @property
    def run_id(self) -> str:
        """The same for the same recipe on the same problems and models, wherever and whenever it runs."""
        return f"{self.recipe.name}-{content_key([self.problems_key, [m.select for m in self.methods]])[:10]}"

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        methods = [use for method in self.methods for use in method.uses()]
        return (StageUse("problems", self.problems_key), *methods)


def make_plan(
    recipe: Recipe, problem_set: ProblemSet, identity_of: Callable[[EngineConfig], EngineIdentity] = identify
) -> Plan:
    """Address every stage of a recipe. Raises EngineUnavailable where a model cannot be found."""
    policy = identity_of(recipe.policy)
    prm = None if recipe.prm is None else identity_of(recipe.prm)
    problems = problems_identity(problem_set)
    methods = tuple(_method_plan(recipe, method, policy, prm, problems) for method in recipe.methods)
    return Plan(recipe, problem_set, policy, prm, problems, methods)


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
        monte_carlo={"subsets": SUBSETS, "all_where_few": True, "resamples": RESAMPLES, "seed": seed},
    )


def _method_plan(
    recipe: Recipe, method: AnyMethod, policy: EngineIdentity, prm: EngineIdentity | None, problems: JsonObject
) -> MethodPlan:
    make = _make_identity(recipe, method, policy, prm)
    make_key = labelled_key(make["stage"], make)
    score = None
    if prm is not None and not method.is_search:
        score = stage_identity("score", samples=make_key, prm=prm.determinants)
    grade = grade_identity(make_key, recipe.grading, problems)
    score_key = None if score is None else labelled_key("score", score)
    select = select_identity(
        grade,
        make_key if method.is_search else score_key,
        problems,
        method.n,
        recipe.budgets_of(method),
        recipe.chosen_selectors(),
        recipe.seed,
    )
    return MethodPlan(method, recipe.budgets_of(method), make, score, grade, select)


def _make_identity(recipe: Recipe, method: AnyMethod, policy: EngineIdentity, prm: EngineIdentity | None) -> JsonObject:
    # Of independent rollouts n is left out: a larger n adds rollouts to the same stage. Problems are left out of sample
    # and score too: they address the units inside these stages, so a larger set adds units (docs/decisions.md).
    settings = method.model_dump(exclude={"n"} if method.independent else None)
    sampling = recipe.sampling.model_dump()
    if isinstance(method, Cot):  # greedy: neither the recipe's temperature nor its seed determines anything
        sampling |= {"temperature": 0.0, "top_p": 1.0}
    determinants = {
        "policy": policy.determinants,
        "method": settings,
        "sampling": sampling,
        "seed": 0 if isinstance(method, Cot) else recipe.seed,
    }
    if isinstance(method, Adaptive):
        determinants["extraction"] = recipe.grading.extraction
    if not method.is_search:
        return stage_identity("sample", **determinants)
    assert prm is not None, "a recipe with a search names a PRM"
    del sampling["max_tokens"]  # a search bounds its steps instead
    return stage_identity("search", prm=prm.determinants, **determinants)


def search_of(recipe: Recipe, method: AnyMethod, problem_key: str, first: int, last: int) -> Method:
    """A fresh search for one problem's samples `first` up to but not including `last`."""
    settings = recipe.sampling
    draws = Draws(
        indices=range(first, last),
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens),
        delimiter=settings.step_delimiter,
        extraction=recipe.grading.extraction,
        seed=int(content_key([recipe.seed, problem_key])[:8], 16),
    )
    return method.build(draws)
