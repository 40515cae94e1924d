"""From `compute_optimal` in a recipe to its stages: a pilot, what is decided from it, and the rollouts that follow."""

from dataclasses import dataclass
from pathlib import Path

from overthink.storage.keys import labelled_key
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse
from overthink.tasks.analysis.intervals import KIND
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import UserError
from overthink.tasks.plan.identity import JsonObject, grade_identity, own_code, stage_identity
from overthink.tasks.plan.method_plan import MethodPlan, method_plan
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.recipes.methods import Adaptive, BestOfN, ComputeOptimal
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import FixedChoice, Strategy, read_strategy

DECISIVE = {
    "difficulty",
    "predictor",
    "choices",
    "expectations",
    "without_pilot",
}  # what else a strategy holds decides nothing


@dataclass(frozen=True)
class StrategyPlan:
    """The stages of one `compute_optimal`; each identity is what its key is the hash of.

    `pilot` is the beginning of a best-of-N, in stages that any best-of-N shares; None where the strategy wants none.
    `search` makes the rollouts that follow it; `grade` and `select` are of those, and of all together.
    """

    method: ComputeOptimal
    strategy: Strategy
    pilot: MethodPlan | None
    decide: JsonObject
    search: JsonObject
    grade: JsonObject
    select: JsonObject

    @property
    def method_id(self) -> str:
        """The method's name in the tables."""
        return self.method.method_id(self.strategy.name)

    @property
    def fixed(self) -> FixedChoice | None:
        """What every problem gets; None where a pilot decides."""
        return None if self.method.n is None else self.strategy.fixed_choice(self.method.n)

    @property
    def most(self) -> int:
        """The most rollouts that one problem may get, the pilot's included."""
        return self.method.n or self.strategy.budgets[-1]

    @property
    def decide_key(self) -> str:
        """The address of the stage that holds the decisions."""
        return labelled_key(StageKind.DECIDE, self.decide)

    @property
    def search_key(self) -> str:
        """The address of the stage that holds the rollouts that follow the pilot."""
        return labelled_key(StageKind.SEARCH, self.search)

    @property
    def grade_key(self) -> str:
        """The address of the stage that holds their grades."""
        return labelled_key(StageKind.GRADE, self.grade)

    @property
    def select_key(self) -> str:
        """The select stage's address."""
        return labelled_key(StageKind.SELECT, self.select)

    def uses(self) -> list[StageUse]:
        """What the run's manifest says of this method."""
        method_id, pilot = self.method_id, [] if self.pilot is None else self.pilot.uses()
        return [
            *(StageUse(use.kind, use.key, method_id, use.n) for use in pilot if use.kind != StageKind.SELECT),
            StageUse(StageKind.DECIDE, self.decide_key, method_id),
            StageUse(StageKind.SEARCH, self.search_key, method_id, self.most),
            StageUse(StageKind.GRADE, self.grade_key, method_id, self.most),
            StageUse(StageKind.SELECT, self.select_key, method_id),
        ]


def strategy_plan(
    recipe: Recipe, method: ComputeOptimal, policy: EngineIdentity, prm: EngineIdentity | None, problems: JsonObject
) -> StrategyPlan:
    """Read a strategy and address its stages. Raises UserError where it does not fit the recipe."""
    strategy = read_strategy(method.strategy)
    _check_fits(strategy, method.strategy, recipe, policy, prm)
    _check_limit(strategy, method)
    pilot = None
    if method.n is None or strategy.fixed_choice(method.n) is None:
        pilot = method_plan(recipe, BestOfN(method="best_of_n", n=strategy.difficulty.pilot), policy, prm, problems)
    limit = method.model_dump(include={"n", "total_tokens", "total_flops"})
    if method.n is None:  # a total is shared out among all problems, so it takes all of them to decide
        limit["problems"] = labelled_key(StageKind.PROBLEMS, problems)
    decide = stage_identity(
        StageKind.DECIDE,
        **({} if pilot is None else _read_of(pilot, recipe.grader)),
        grading=recipe.grading.model_dump(),
        strategy=strategy.model_dump(mode="json", include=DECISIVE),
        limit=limit,
        **own_code("decision"),
    )
    choices = (*strategy.choices, *strategy.without_pilot)
    following = {type(choice.method) for choice in choices}
    parts = ("candidates", "extraction") if Adaptive in following else ("candidates",)
    plugged = plugin_identities("methods", {choice.method.method for choice in choices})
    search = stage_identity(
        StageKind.SEARCH,
        decisions=labelled_key(StageKind.DECIDE, decide),
        seed=recipe.seed,
        **own_code(*parts),
        **plugged,
        **recipe.grader.further_identity(),
    )
    grade = grade_identity(labelled_key(StageKind.SEARCH, search), recipe.grader, problems)
    select = stage_identity(
        StageKind.SELECT,
        grades=labelled_key(StageKind.GRADE, grade),
        problems=labelled_key(StageKind.PROBLEMS, problems),
        intervals=KIND,
        **own_code("selection"),
        **plugin_identities("selectors", {choice.selector for choice in choices}),
    )
    return StrategyPlan(method, strategy, pilot, decide, search, grade, select)


def _read_of(pilot: MethodPlan, grader: Grader) -> JsonObject:
    """What a decision reads of a pilot; whether its answers agree depends on who finds and compares them."""
    return {"samples": pilot.make_key, "scores": pilot.score_key, "grader": grader.identity()}


def _check_fits(
    strategy: Strategy, path: Path, recipe: Recipe, policy: EngineIdentity, prm: EngineIdentity | None
) -> None:
    fitted: JsonObject = {"policy": strategy.policy_id, "prm": strategy.prm_id}
    given: JsonObject = {"policy": policy.address, "prm": None if prm is None else prm.address}
    fitted |= {f"sampling.{name}": value for name, value in strategy.sampling}
    given |= {f"sampling.{name}": value for name, value in recipe.sampling}
    fitted["domain"], given["domain"] = strategy.domain, recipe.domain
    fitted["grading.extraction"], given["grading.extraction"] = strategy.grading.extraction, recipe.grading.extraction
    for name, value in fitted.items():
        if given[name] != value:
            raise UserError(
                f"{path}: strategy {strategy.name} was fitted with {name} = {value}, and here it is {given[name]}: "
                f"say {name} as the strategy does, or fit one to runs with this"
            )


def _check_limit(strategy: Strategy, method: ComputeOptimal) -> None:
    if method.n is not None:
        strategy.choice(method.n, pass_at_1=0.0)
    if method.total_flops is not None and any(choice.flops is None for choice in strategy.choices):
        raise UserError(f"{method.strategy}: not all choices say their flops, so give a total in tokens instead")
