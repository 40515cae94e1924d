"""From a recipe to the content-addressed stages it stands on, before any engine is loaded."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from flows.recipe import BestOfN, Cot, Recipe
from storage.keys import content_key, labelled_key
from storage.schemas import SCHEMA_VERSION
from storage.store import StageUse
from tasks.analysis.estimators import RESAMPLES, SUBSETS
from tasks.engines.catalogue import EngineIdentity, identify
from tasks.methods.best_of_n import best_of_n
from tasks.methods.cot import cot
from tasks.methods.protocol import Search
from tasks.problems.sources import ProblemSet
from tasks.records import Problem, Sampling

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class MethodPlan:
    """The stages of one method; each identity is what its key is the hash of."""

    method: Cot | BestOfN
    budgets: tuple[int, ...]
    sample: JsonObject
    score: JsonObject | None
    grade: JsonObject
    select: JsonObject

    @property
    def sample_key(self) -> str:
        """The sample stage's address; shared by every n."""
        return labelled_key("sample", self.sample)

    @property
    def score_key(self) -> str | None:
        """The score stage's address, where there is a PRM."""
        return None if self.score is None else labelled_key("score", self.score)

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
        uses = [StageUse("sample", self.sample_key, method_id, n)]
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
        """The PRM's name in the `scores` table: two PRMs of one name but other weights or engine stay apart."""
        return None if self.prm is None else f"{self.prm.name}@{content_key(self.prm.determinants)[:8]}"

    @property
    def run_id(self) -> str:
        """The same for the same recipe on the same problems and models, wherever and whenever it runs."""
        return f"{self.recipe.name}-{content_key([self.problems_key, [m.select for m in self.methods]])[:10]}"

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        methods = [use for method in self.methods for use in method.uses()]
        return (StageUse("problems", self.problems_key), *methods)


def make_plan(recipe: Recipe, problem_set: ProblemSet) -> Plan:
    """Address every stage of a recipe. Raises EngineUnavailable where a model cannot be found."""
    policy = identify(recipe.policy)
    prm = None if recipe.prm is None else identify(recipe.prm)
    problems = _identity("problems", problem_set=problem_set.name, problems=_problems(problem_set))
    methods = tuple(_method_plan(recipe, method, policy, prm, problems) for method in recipe.methods)
    return Plan(recipe, problem_set, policy, prm, problems, methods)


def _problems(problem_set: ProblemSet) -> list[list[str]]:
    return [[problem.problem_key, problem.reference] for problem in problem_set.problems]


def _identity(stage: str, **determinants: Any) -> JsonObject:
    return {"schema_version": SCHEMA_VERSION, "stage": stage, **determinants}


def _method_plan(
    recipe: Recipe, method: Cot | BestOfN, policy: EngineIdentity, prm: EngineIdentity | None, problems: JsonObject
) -> MethodPlan:
    # n is left out: a larger n adds rollouts to the same stage. Problems are left out of sample and score too: they
    # address the units inside these stages, so a larger set adds units (docs/decisions.md).
    sampling = recipe.sampling.model_dump()
    if isinstance(method, Cot):  # greedy: neither the recipe's temperature nor its seed determines anything
        sampling |= {"temperature": 0.0, "top_p": 1.0}
    sample = _identity(
        "sample",
        policy=policy.determinants,
        method=method.model_dump(exclude={"n"}),
        sampling=sampling,
        seed=0 if isinstance(method, Cot) else recipe.seed,
    )
    sample_key = labelled_key("sample", sample)
    score = None if prm is None else _identity("score", samples=sample_key, prm=prm.determinants)
    grade = _identity(
        "grade",
        samples=sample_key,
        grading=recipe.grading.model_dump(),
        grader={"math-verify": version("math-verify")},
        references=content_key(problems["problems"]),
    )
    select = _identity(
        "select",
        grades=labelled_key("grade", grade),
        scores=None if score is None else labelled_key("score", score),
        problems=labelled_key("problems", problems),
        n=method.n,
        budgets=recipe.budgets_of(method),
        selectors=recipe.chosen_selectors(),
        monte_carlo={"subsets": SUBSETS, "resamples": RESAMPLES, "seed": recipe.seed},
    )
    return MethodPlan(method, recipe.budgets_of(method), sample, score, grade, select)


def search_of(recipe: Recipe, method: Cot | BestOfN, first: int, last: int) -> Search:
    """A fresh search for one problem's samples `first` up to but not including `last`."""
    sampling = Sampling(recipe.sampling.temperature, recipe.sampling.top_p, recipe.sampling.max_tokens)
    match method:
        case Cot():
            return cot(sampling)
        case BestOfN():
            return best_of_n(sampling, first, last)
