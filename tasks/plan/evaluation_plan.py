"""From a recipe to the graph of its run: the stages of its methods, and of the strategies that it applies."""

from collections.abc import Callable

from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.engines.prm_config import EngineConfig
from overthink.tasks.engines.registry import EngineIdentity, identify
from overthink.tasks.plan.method_nodes import Planner, problems_of
from overthink.tasks.plan.model_generation import settled
from overthink.tasks.plan.run_plan import Plan, run_id
from overthink.tasks.plan.strategy_nodes import strategies
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.node import ProblemsNode, StageNode
from overthink.tasks.stages.select import ChoiceNode


def plan_evaluation(
    recipe: Recipe, problem_set: ProblemSet, identity_of: Callable[[EngineConfig], EngineIdentity] = identify
) -> Plan:
    """Compute the key of every stage of a recipe.

    Raises EngineUnavailable where a model cannot be found, and UserError where a strategy does not fit the recipe,
    or the model's files do not say how it is to be sampled.
    """
    recipe = recipe.model_copy(update={"sampling": settled(recipe.sampling, recipe.policy)})
    policy = identity_of(recipe.policy)
    prm = None if recipe.prm is None else identity_of(recipe.prm)
    planner = Planner(recipe, problems_of(problem_set.in_domain(recipe.domain)), policy, prm)
    nodes: list[StageNode] = [ProblemsNode(problems=planner.problems)]
    for method in recipe.fixed_methods:
        nodes += planner.method(method)
    nodes += strategies(planner)
    ends = [node.identity for node in nodes if isinstance(node, ChoiceNode)]
    name = run_id(recipe.name, [planner.problems.key, ends])
    return Plan(recipe, name, planner.problems, tuple(nodes), policy, prm)
