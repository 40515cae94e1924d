"""The flow `prm-train`: roll out, grade, label every step by Monte Carlo, train a PRM; each stage resumable."""

import asyncio
import threading
from typing import Any

from prefect import flow

from overthink.flows.orchestration.secret_blocks import engines_of
from overthink.storage.manifest import Extent
from overthink.storage.opening import open_store
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.prm_train_plan import plan_prm_train
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.stages.label import LabelNode, labelled_rollouts
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.stage_progress import StagePlace
from overthink.tasks.training.examples import TrainingRollouts


@flow(name="prm-train", flow_run_name="prm-train {recipe.name}", persist_result=False)
async def prm_train(recipe: PrmTrainRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Train a PRM on Monte Carlo labels of a policy's rollouts (Wang et al. 2024, Math-Shepherd); returns the run's id.

    Raises what `evaluate` raises, and resumes like it, also in the middle of the training.
    """
    problem_set = load_problems(recipe.problems, skip_bad_rows, recipe.asking)
    plan, opened = plan_prm_train(recipe, problem_set), open_store(store)
    progress = RunProgress(terminal.get(), opened.reports(plan.run_id))
    execution = Execution(plan, opened, progress, engines_of(plan))
    with opened.lock_run(plan.run_id), progress.shown(), execution.under_way():
        await execution.make()  # closes the policy before the training begins, which may need the whole device
        if not opened.has_model(plan.run_id):
            await _train(plan, recipe, opened, progress)
        await asyncio.to_thread(opened.keep_model, plan.run_id)
    return plan.run_id


async def _train(plan: Plan, recipe: PrmTrainRecipe, store: Store, progress: RunProgress) -> None:
    """Train and write the model, on a thread that a cancelled flow stops. Torch is imported only here."""
    from overthink.tasks.training.train import train_prm

    labels = plan.nodes[-1]
    assert isinstance(labels, LabelNode), "the graph of a training ends in labels"
    rollouts = labelled_rollouts(
        store.stage(labels.rollouts.key),
        store.stage(labels.key),
        plan.problems.by_key,
        Extent(plan.problems.units, 0, recipe.rollouts),
    )
    cancelled = threading.Event()

    folder, said = store.model_folder(plan.run_id), _provenance(plan, recipe, labels)
    learned = TrainingRollouts(rollouts, recipe.sampling.step_delimiter)
    with progress.stage(StagePlace("train", recipe.training.updates, unit="update")) as stage:

        def on_progress(updates: int) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            stage.advance(updates)

        try:
            await asyncio.to_thread(train_prm, recipe.training, learned, recipe.seed, folder, said, on_progress)
        finally:
            cancelled.set()


def _provenance(plan: Plan, recipe: PrmTrainRecipe, labels: LabelNode) -> dict[str, Any]:
    return {
        "name": plan.run_id,
        "problems": f"{plan.problems.name}, {len(plan.problems.units)} of them",
        "rollouts": f"{recipe.rollouts} a problem by {labels.policy.name}, stage {labels.rollouts.key}",
        "grades": f"stage {labels.grades.key}",
        "labels": f"{recipe.continuations} continuations of each prefix, {recipe.training.labels}, stage {labels.key}",
    }
