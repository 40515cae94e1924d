"""The flow `prm-eval-run`: measures the PRM of a finished run against its rollouts' grades, without any engine."""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow.compute as pc
from prefect import flow

from overthink.flows.orchestration.artifacts import publish_rows
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.errors import UserError
from overthink.tasks.plan.stored_run import stored_problems, stored_stage
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.reporting.prm_tables import FIGURES_SQL, figure_rows
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.measure import Labels, MeasureRolloutsNode, ThresholdSplit, labels_by_rollout
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import StageRunner
from overthink.tasks.stages.scored_run import scored_run

READER = "prm-eval --run"
SPLIT = ThresholdSplit(share=0.5, seed=0)  # of the rollouts whose steps a labeller has labelled


@flow(name="prm-eval-run", flow_run_name="prm-eval {run_name}", persist_result=False)
async def prm_eval_run(run_name: str, store: StorePlace) -> str:
    """Measure the stored PRM scores of a finished run, without any engine; returns the run's id.

    Raises UserError or StorageError where there is nothing to measure.
    """
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(opened.find_run(run_name).run_id), progress.shown():
        run = scored_run(opened, run_name, READER)
        nodes = _nodes(opened, run)
        runner = StageRunner(opened, progress, run.run_id, Engines(), Recipe.model_validate(run.recipe).grader)
        for node in nodes:
            await runner.make(node)
        kept = tuple(use for use in run.stages if use.kind != StageKind.MEASURE)
        opened.write_run(replace(run, stages=(*kept, *(node.use for node in nodes))))
    await publish_rows(run.run_id, "prm", figure_rows(opened, run.run_id), FIGURES_SQL)
    return run.run_id


def _nodes(store: Store, run: Run) -> list[MeasureRolloutsNode]:
    """A measure stage for each method, over the run's stored stages."""
    recipe = Recipe.model_validate(run.recipe)
    methods = recipe.fixed_methods
    if not methods:
        raise UserError(f"run {run.run_id} has no method but compute_optimal: measure a run that its strategy is from")
    problems = stored_problems(store, run)
    nodes = []
    for method in methods:
        kind = StageKind.SEARCH if method.is_search else StageKind.SAMPLE
        made = stored_stage(run, method.method_id, kind)
        rollout_ids = set(store.stage(made.key).table("rollouts")["rollout_id"].to_pylist())
        labels, label_files = _step_labels(store, rollout_ids)
        nodes.append(
            MeasureRolloutsNode(
                problems=problems,
                method_id=method.method_id,
                n=method.n,
                rollouts=made,
                grades=stored_stage(run, method.method_id, StageKind.GRADE),
                scores=made if method.is_guided else stored_stage(run, method.method_id, StageKind.SCORE),
                prm=str(run.prm),
                split=SPLIT,
                independent=method.independent,
                labels=labels,
                label_files=label_files,
                seed=run.seed,
            )
        )
    return nodes


def _step_labels(store: Store, rollout_ids: set[str]) -> tuple[dict[str, Labels], list[str]]:
    """The labels that any stage of the store holds for these rollouts, by labeller, and digests of their files."""
    labels: dict[str, dict[str, Mapping[int, float]]] = {}
    digests: list[str] = []
    for stage in store.stages():
        if not stage.files("step_labels"):
            continue
        table = stage.table("step_labels")
        for labeller in sorted(set(table["labeller"].to_pylist())):
            found = labels_by_rollout(table.filter(pc.equal(table["labeller"], labeller)))
            wanted = {name: by_step for name, by_step in found.items() if name in rollout_ids}
            if wanted:
                labels.setdefault(labeller, {}).update(wanted)
                digests += stage.digests("step_labels")
    return dict(labels), sorted(set(digests))
