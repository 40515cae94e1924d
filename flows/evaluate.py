"""The flow `evaluate`: sample, score, grade and select for every method of a recipe, each stage resumable."""

import asyncio

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_summary
from overthink.flows.orchestration.gate_events import apply_gate
from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.opening import open_store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.execution import Execution
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.reporting.gate import check_gate
from overthink.tasks.stages.progress import RunProgress, terminal


@flow(name="evaluate", flow_run_name="evaluate {recipe.name}", persist_result=False)
async def evaluate(recipe: Recipe, store: StorePlace, skip_bad_rows: bool = False, shared: bool = False) -> str:
    """Run a recipe, or resume it, into a store; returns the run's id.

    All processes that run the recipe with `shared` divide its shards among them.

    Raises UserError for what the user can fix, and StorageError, EngineDied or BadReply for failures below; everything
    finished or journaled before is safe, and running the same recipe again resumes. Raises Regression where the recipe
    has a gate and the complete run does not pass it.
    """
    problem_set = load_problems(recipe.problems, skip_bad_rows, recipe.asking)
    plan, opened = plan_evaluation(recipe, problem_set), open_store(store)
    progress = RunProgress(terminal.get(), opened.reports(plan.run_id))
    execution = Execution(plan, opened, progress, engines_of(plan), shared)
    if recipe.gate is not None:
        check_gate(opened, recipe.gate)
    with progress.shown():
        if shared:
            ended_here = await execution.run_with_others()
        else:
            with opened.lock_run(plan.run_id):
                await execution.run()
            ended_here = True
        if ended_here:
            await publish_summary(opened, plan.run_id)
    if recipe.gate is not None and ended_here:
        await asyncio.to_thread(apply_gate, opened, plan.run_id, recipe.gate)
    return plan.run_id
