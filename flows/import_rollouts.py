"""The flow `import`: turns rollouts that another tool stored into a run, graded and selected from by our stages."""

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_summary
from overthink.storage.opening import open_store
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.import_plan import plan_imports
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.progress import RunProgress, terminal


@flow(name="import", flow_run_name="import {recipe.name}", persist_result=False)
async def import_rollouts(recipe: ImportRecipe, store: StorePlace) -> list[str]:
    """Import what another tool stored, grade it and select from it; returns the runs' ids.

    Everything is read and checked before anything is written. Raises UserError or StorageError; what was written is
    safe, and importing the same again resumes.
    """
    opened = open_store(store)
    plans = plan_imports(recipe)
    for plan in plans:
        progress = RunProgress(terminal.get(), opened.reports(plan.run_id))
        with opened.lock_run(plan.run_id), progress.shown():
            await Execution(plan, opened, progress, Engines()).run()
            await publish_summary(opened, plan.run_id)
    return [plan.run_id for plan in plans]
