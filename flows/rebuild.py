"""The flow `rebuild`: computes what a finished run has lost from what is left, without any engine.

Everything is read from the store: neither models nor, except for lost problems, the problems' source are needed. A
stage is rebuilt only under its old key; where new code or packages change the key, the recipe must be run again.
"""

from collections.abc import Sequence

from prefect import flow
from pydantic import ValidationError

from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.completeness import IncompleteStage, problems_key
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import ENGINES_OF, StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.errors import UserError
from overthink.tasks.plan.method_nodes import grade_node, problems_of, select_node
from overthink.tasks.plan.stored_run import stored_problem_set, stored_tests
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.node import ProblemsNode, StageNode, StoredStage
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import StageRunner


def irreparable(store: Store, run: Run, lost: Sequence[IncompleteStage]) -> list[str]:
    """The reasons why a run cannot be rebuilt, one per line; empty where it can. Writes nothing."""
    if Recipe.own_key not in run.recipe:
        return [str(loss) for loss in lost]
    engines = [f"{loss}; only an engine makes it" for loss in lost if loss.use.kind in ENGINES_OF]
    if engines:
        return engines
    try:
        nodes = rebuilt(store, run)
    except (UserError, StorageError, ValidationError) as error:
        return [f"{loss}; it cannot be computed from what is left: {error}" for loss in lost]
    known = {node.key for node in nodes}
    strategies = [loss for loss in lost if loss.use.kind != StageKind.MEASURE and loss.use.key not in known]
    return [f"{loss}; a strategy's choices are computed by the recipe alone" for loss in strategies]


@flow(name="rebuild", flow_run_name="rebuild {run_id}", persist_result=False)
async def rebuild(run_id: str, store: StorePlace) -> None:
    """Compute what a finished run lacks; see `irreparable` for what can prevent it."""
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(run_id), progress.shown():
        run = opened.find_run(run_id)
        runner = StageRunner(opened, progress, run_id, Engines(), Recipe.model_validate(run.recipe).grader)
        for node in rebuilt(opened, run):
            await runner.make(node)
    if any(use.kind == StageKind.MEASURE for use in run.stages):
        await prm_eval_run(run_id, store)


def rebuilt(store: Store, run: Run) -> list[StageNode]:
    """The nodes of a run's graph that need no engine, on its stored rollouts and scores.

    Raises StorageError where a key differs from the run's.
    """
    recipe = Recipe.model_validate(run.recipe)
    problems = problems_of(_problem_set(store, run, recipe).in_domain(recipe.domain))
    nodes: list[StageNode] = [ProblemsNode(problems=problems)]
    for method in recipe.fixed_methods:
        made, scores = _made_and_scored(run, method.method_id, method.n)
        grades = grade_node(recipe, problems, made, stored_tests(run, made))
        nodes += [grades, select_node(recipe, method, grades, scores)]
    keys = {(use.kind, use.method_id): use.key for use in run.stages}
    for node in nodes:
        if keys.get((node.kind, node.method_id)) != node.key:
            raise StorageError(f"{node.kind} would not be what it was, by other code, packages or problems than then")
    return nodes


def _made_and_scored(run: Run, method_id: str, n: int) -> tuple[StoredStage, StoredStage | None]:
    """A method's rollouts and their scores, where there are any."""
    keys = {use.kind: use.key for use in run.stages if use.method_id == method_id}
    made = keys.get(StageKind.SEARCH) or keys.get(StageKind.SAMPLE)
    if made is None:
        raise StorageError(f"{method_id} has neither a sample nor a search stage")
    scored = keys.get(StageKind.SEARCH) or keys.get(StageKind.SCORE)
    return StoredStage(made, method_id, n), None if scored is None else StoredStage(scored, method_id, n)


def _problem_set(store: Store, run: Run, recipe: Recipe) -> ProblemSet:
    """The stored problems or, where they are lost, those of their source."""
    stage = store.stage(problems_key(run))
    if not stage.entries() or any(stage.damage(entry) for entry in stage.entries()):
        return load_problems(recipe.problems, True, recipe.asking)
    return stored_problem_set(store, run)
