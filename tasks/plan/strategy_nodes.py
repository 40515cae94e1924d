"""The stages of `compute_optimal` in a recipe: a pilot, the decisions from it, and the rollouts that follow."""

from functools import partial
from pathlib import Path

from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import UserError
from overthink.tasks.plan.method_nodes import Planner
from overthink.tasks.recipes.methods import BestOfN, ComputeOptimal
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import Strategy, read_strategy
from overthink.tasks.stages.choose import Applied, ChooseNode
from overthink.tasks.stages.decide import DecideNode, FixedDecisionNode, Pilot
from overthink.tasks.stages.identity import JsonObject
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.search import FollowingNode
from overthink.tasks.strategy.decisions import decide, decide_alike


def strategies(planner: Planner) -> list[StageNode]:
    """The stages of every strategy of a recipe. Raises UserError for one that does not fit, or two of one method id."""
    methods: dict[str, ComputeOptimal] = {}
    nodes: list[StageNode] = []
    for method in planner.recipe.strategies:
        strategy = read_strategy(method.strategy)
        _check_fits(strategy, method.strategy, planner.recipe, planner.policy, planner.prm)
        _check_limit(strategy, method)
        for choice in (*strategy.choices, *strategy.without_pilot):
            planner.check_thinking(choice.method)
        method_id = method.method_id(strategy.name)
        earlier = methods.setdefault(method_id, method)
        if earlier is not method:
            names = f"{earlier.strategy} and {method.strategy}"
            raise UserError(f"{names} both make {method_id}: give one of the strategies another `name`")
        nodes += _nodes(planner, method, strategy)
    return nodes


def _nodes(planner: Planner, method: ComputeOptimal, strategy: Strategy) -> list[StageNode]:
    recipe, method_id = planner.recipe, method.method_id(strategy.name)
    fixed = None if method.n is None else strategy.fixed_choice(method.n)
    before, pilot = ([], None) if fixed is not None else _pilot(planner, strategy, method_id)
    decided = _decided(planner, method, strategy, pilot)
    assert planner.prm is not None, "a recipe with a strategy names a PRM"
    rest = FollowingNode(
        problems=planner.problems,
        method_id=method_id,
        n=method.n or strategy.budgets[-1],
        shard_size=recipe.shard_size,
        policy=planner.policy,
        prm=planner.prm,
        seed=recipe.seed,
        sampling=recipe.sampling,
        grader=recipe.grader,
        thinking=planner.thinking,
        reasoning=planner.reasoning,
        strategy=strategy,
        fixed=fixed,
        decided=decided,
    )
    tests, grades = planner.graded(rest)
    applied = Applied(pilot, decided, rest, grades, rest.n)
    selectors = {choice.selector for choice in (*strategy.choices, *strategy.without_pilot)}
    chosen = ChooseNode(problems=planner.problems, method_id=method_id, n=rest.n, applied=applied, selectors=selectors)
    return [*before, decided, rest, *tests, grades, chosen]


def _pilot(planner: Planner, strategy: Strategy, method_id: str) -> tuple[list[StageNode], Pilot]:
    """The first rollouts of best-of-N, in the stages that every best-of-N shares, and what is read of them."""
    made = planner.sampled(BestOfN(method="best_of_n", n=strategy.difficulty.pilot), method_id)
    scores = planner.scores(made)
    assert scores is not None, "a recipe with a strategy names a PRM"
    tests, grades = planner.graded(made)
    return [made, scores, *tests, grades], Pilot(made, scores, grades, made.n)


def _decided(
    planner: Planner, method: ComputeOptimal, strategy: Strategy, pilot: Pilot | None
) -> DecideNode | FixedDecisionNode:
    problems, grader, method_id = planner.problems, planner.recipe.grader, method.method_id(strategy.name)
    limit = method.model_dump(include={"n", "total_tokens", "total_flops"})
    if pilot is not None:
        return DecideNode(
            problems=problems,
            method_id=method_id,
            strategy=strategy,
            limit=limit,
            grader=grader,
            pilot=pilot,
            decide=partial(decide, strategy, method),
        )
    fixed = None if method.n is None else strategy.fixed_choice(method.n)
    assert fixed is not None, "without a pilot all problems get the same choice"
    return FixedDecisionNode(
        problems=problems,
        method_id=method_id,
        strategy=strategy,
        limit=limit,
        grader=grader,
        decision=decide_alike(fixed),
    )


def _check_fits(
    strategy: Strategy, path: Path, recipe: Recipe, policy: EngineIdentity, prm: EngineIdentity | None
) -> None:
    fitted, given = _prompts(strategy, recipe) if strategy.policy_id != policy.address else ({}, {})
    fitted |= {"policy": strategy.policy_id, "prm": strategy.prm_id}
    given |= {"policy": policy.address, "prm": None if prm is None else prm.address}
    fitted |= {f"sampling.{name}": value for name, value in strategy.sampling}
    given |= {f"sampling.{name}": value for name, value in recipe.sampling}
    fitted["grading.extraction"], given["grading.extraction"] = strategy.grading.extraction, recipe.grading.extraction
    for name in ("domain", "domain_options", "reasoning"):
        fitted[name], given[name] = getattr(strategy, name), getattr(recipe, name)
    for name, value in fitted.items():
        if given[name] != value:
            raise UserError(
                f"{path}: strategy {strategy.name} was fitted with {name} = {value}, and here it is {given[name]}: "
                f"say {name} as the strategy does, or fit one to runs with this"
            )


def _prompts(strategy: Strategy, recipe: Recipe) -> tuple[JsonObject, JsonObject]:
    """What the strategy's policy was told, and what the recipe's is."""
    told = strategy.policy.asked_by(strategy.domain, strategy.prompt).prompt
    return ({f"prompt.{key}": value for key, value in told}, {f"prompt.{key}": v for key, v in recipe.policy.prompt})


def _check_limit(strategy: Strategy, method: ComputeOptimal) -> None:
    if method.n is not None:
        strategy.choice(method.n, pass_at_1=0.0)
    if method.total_flops is not None and any(choice.flops is None for choice in strategy.choices):
        raise UserError(f"{method.strategy}: some choices have no flops, so give a total in tokens instead")
