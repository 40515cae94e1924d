"""From a recipe of `prm-eval` to the graph of its run: labelled solutions, their scores, and the PRM's figures."""

from overthink.tasks.analysis.prm_measures import lacking_kind
from overthink.tasks.datasets.labelled import LabelledSet
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import ProblemError
from overthink.tasks.plan.run_plan import Plan, run_id
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.stages.import_nodes import SolutionsNode
from overthink.tasks.stages.measure import MeasureSolutionsNode, ThresholdSplit
from overthink.tasks.stages.node import Problems, ProblemsNode
from overthink.tasks.stages.score import ScoreNode


def plan_prm_eval(recipe: PrmEvalRecipe, labelled: LabelledSet) -> Plan:
    """Compute the key of every stage. Raises EngineUnavailable, or ProblemError where the solutions allow no F1."""
    split = ThresholdSplit(recipe.threshold_share, recipe.seed)
    _check_kinds(labelled, split)
    prm, labeller = identify(recipe.prm), labelled.labeller
    by_key = {solution.problem.problem_key: solution for solution in labelled.solutions}
    problems = Problems(labelled.name, tuple(solution.problem for solution in by_key.values()), list(by_key))
    solutions = SolutionsNode(problems=problems, method_id=labeller, labeller=labeller, solutions=by_key)
    scores = ScoreNode(
        problems=problems,
        method_id=labeller,
        shard_size=recipe.shard_size,
        prm=prm,
        seed=recipe.seed,
        rollouts=solutions,
        all_must_fit=True,
    )
    figures = MeasureSolutionsNode(
        problems=problems,
        method_id=labeller,
        rollouts=solutions,
        scores=scores,
        prm=prm.address,
        split=split,
        labeller=labeller,
    )
    nodes = (ProblemsNode(problems=problems), solutions, scores, figures)
    return Plan(recipe, run_id(recipe.name, figures.identity), problems, nodes, prm=prm)


def _check_kinds(labelled: LabelledSet, split: ThresholdSplit) -> None:
    sides: dict[bool, list[bool]] = {True: [], False: []}
    for solution in labelled.solutions:
        sides[split.chooses(solution.question)].append(solution.first_wrong is not None)
    complaint = lacking_kind(sides[True], sides[False])
    if complaint:
        raise ProblemError(f"{labelled.name}: {complaint}; add solutions or change threshold_share")
