"""From a recipe to the content-addressed stages it stands on, before any engine is loaded."""

from collections.abc import Callable
from dataclasses import dataclass

from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key, labelled_key
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse, Store
from overthink.tasks.datasets.sources import ProblemSet
from overthink.tasks.engines.engine_config import EngineConfig
from overthink.tasks.engines.registry import EngineIdentity, identify
from overthink.tasks.errors import UserError
from overthink.tasks.methods.requests import Method
from overthink.tasks.plan.identity import JsonObject, problems_identity
from overthink.tasks.plan.method_plan import MethodPlan, method_plan
from overthink.tasks.plan.strategy_plan import StrategyPlan, strategy_plan
from overthink.tasks.recipes.methods import AnyMethod, Draws
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Problem, Sampling


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know before it starts."""

    recipe: Recipe
    problem_set: ProblemSet
    policy: EngineIdentity
    prm: EngineIdentity | None
    problems: JsonObject
    methods: tuple[MethodPlan, ...]
    strategies: tuple[StrategyPlan, ...]

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
        return labelled_key(StageKind.PROBLEMS, self.problems)

    @property
    def prm_id(self) -> str | None:
        """The PRM's name in the `scores` table."""
        return None if self.prm is None else self.prm.address

    @property
    def run_id(self) -> str:
        """The same for the same recipe on the same problems and models, wherever and whenever it runs."""
        selects = [method.select for method in self.methods] + [strategy.select for strategy in self.strategies]
        return f"{self.recipe.name}-{content_key([self.problems_key, selects])[:10]}"

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        by_method = [method.uses() for method in self.methods] + [strategy.uses() for strategy in self.strategies]
        return (StageUse(StageKind.PROBLEMS, self.problems_key), *(use for uses in by_method for use in uses))


def make_plan(
    recipe: Recipe, problem_set: ProblemSet, identity_of: Callable[[EngineConfig], EngineIdentity] = identify
) -> Plan:
    """Address every stage of a recipe.

    Raises EngineUnavailable where a model cannot be found, UserError where a strategy cannot be used in it.
    """
    policy = identity_of(recipe.policy)
    prm = None if recipe.prm is None else identity_of(recipe.prm)
    problem_set = problem_set.in_domain(recipe.domain)
    problems = problems_identity(problem_set)
    methods = tuple(method_plan(recipe, method, policy, prm, problems) for method in recipe.fixed_methods)
    return Plan(recipe, problem_set, policy, prm, problems, methods, _strategy_plans(recipe, policy, prm, problems))


def _strategy_plans(
    recipe: Recipe, policy: EngineIdentity, prm: EngineIdentity | None, problems: JsonObject
) -> tuple[StrategyPlan, ...]:
    plans: dict[str, StrategyPlan] = {}
    for method in recipe.strategies:
        plan = strategy_plan(recipe, method, policy, prm, problems)
        earlier = plans.setdefault(plan.method_id, plan)
        if earlier is not plan:
            names = f"{earlier.method.strategy} and {method.strategy}"
            raise UserError(f"{names} both make {plan.method_id}: give one of the strategies another `name`")
    return tuple(plans.values())


def search_of(recipe: Recipe, method: AnyMethod, problem_key: str, first: int, last: int) -> Method:
    """A fresh search for one problem's samples `first` up to but not including `last`."""
    settings = recipe.sampling
    draws = Draws(
        indices=range(first, last),
        sampling=Sampling(settings.temperature, settings.top_p, settings.max_tokens),
        delimiter=settings.step_delimiter,
        is_final=recipe.grader.domain.is_final,
        answer_of=recipe.grader.extract,
        seed=int(content_key([recipe.seed, problem_key])[:8], 16),
    )
    return method.build(draws)


def is_finished(plan: Plan, store: Store) -> bool:
    """Whether every part of a run is there and whole, so that nothing need be loaded to report it."""
    return is_whole(store, plan.run_id, plan.uses())
