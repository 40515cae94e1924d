"""From a recipe of `prm-train` to the graph of its run: rollouts, their grades, and the labels of their steps."""

from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.determinants import determinants
from overthink.tasks.domains.program_domain import ProgramDomain
from overthink.tasks.engines.engine_config import ModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import UserError
from overthink.tasks.plan.method_nodes import Planner, grade_node, problems_of
from overthink.tasks.plan.model_generation import settled
from overthink.tasks.plan.run_plan import Plan, run_id
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.stages.identity import KEY_VERSION, JsonObject
from overthink.tasks.stages.label import LabelNode
from overthink.tasks.stages.node import ProblemsNode


def plan_prm_train(recipe: PrmTrainRecipe, problem_set: ProblemSet) -> Plan:
    """Compute the key of every stage.

    Raises EngineUnavailable where policy or base cannot be found, and UserError where the policy thinks, or its files
    do not say how it is to be sampled.
    """
    recipe = recipe.model_copy(update={"sampling": settled(recipe.sampling, recipe.policy)})
    base = locate_model(ModelConfig(**recipe.training.base.model_dump())).fingerprint
    drawing = recipe.rolling_out()
    planner = Planner(drawing, problems_of(problem_set.in_domain(drawing.domain)), identify(drawing.policy), None)
    if planner.thinking is not None:
        raise UserError(
            f"labels continue from the steps of an answer, and policy {planner.policy.name} thinks before it: let it "
            "answer at once (prompt.chat_template_kwargs), or say reasoning: none, which makes its thoughts steps"
        )
    if isinstance(drawing.grader.domain, ProgramDomain):
        raise UserError(
            "labels are of continuations that are graded as they are drawn, and answers of domain "
            f"{drawing.domain} are programs, which are graded by running them: train on another domain"
        )
    (method,) = drawing.fixed_methods
    made = planner.sampled(method, method.method_id)
    grades = grade_node(drawing, planner.problems, made, None)
    labels = LabelNode(
        problems=planner.problems,
        method_id=method.method_id,
        shard_size=recipe.shard_size,
        policy=planner.policy,
        seed=recipe.seed,
        rollouts=made,
        grades=grades,
        drawn=recipe.rollouts,
        continuations=recipe.continuations,
        sampling=recipe.sampling,
        grader=recipe.grader,
    )
    nodes = (ProblemsNode(problems=planner.problems), made, grades, labels)
    name = run_id(recipe.name, _trained(recipe, labels, base))
    return Plan(recipe, name, planner.problems, nodes, policy=planner.policy)


def _trained(recipe: PrmTrainRecipe, labels: LabelNode, base: dict[str, str]) -> JsonObject:
    """What the trained weights depend on."""
    return {
        "schema_version": KEY_VERSION,
        "stage": "train",  # not a stage of the store: it only enters the run's id
        "labels": labels.key,
        "problems": list(labels.problems.units),
        "base": base,
        "training": determinants(recipe.training, exclude={"base"}),
        "seed": recipe.seed,
    }
