"""The flow `prm-eval`: measures a PRM on solutions whose first wrong step is known, resumable."""

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_rows
from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.opening import open_store
from overthink.tasks.datasets.labelled import load_solutions
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.prm_eval_plan import plan_prm_eval
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.reporting.prm_tables import FIGURES_SQL, figure_rows
from overthink.tasks.stages.progress import RunProgress, terminal


@flow(name="prm-eval", flow_run_name="prm-eval {recipe.name}", persist_result=False)
async def prm_eval(recipe: PrmEvalRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Import labelled solutions, score their steps and measure the PRM; returns the run's id.

    Raises what `evaluate` raises, and resumes like it.
    """
    plan, opened = plan_prm_eval(recipe, load_solutions(recipe.solutions, skip_bad_rows)), open_store(store)
    progress = RunProgress(terminal.get(), opened.reports(plan.run_id))
    with opened.lock_run(plan.run_id), progress.shown():
        await Execution(plan, opened, progress, engines_of(plan)).run()
        await publish_rows(plan.run_id, "prm", figure_rows(opened, plan.run_id), FIGURES_SQL)
    return plan.run_id
