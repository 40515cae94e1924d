"""The flow `prm-eval-run`: the PRM of a finished run held against the grades of its rollouts, without any engine."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow.compute as pc
from prefect import flow

from overthink.flows.orchestration.artifacts import publish_rows
from overthink.storage.keys import labelled_key
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.errors import UserError
from overthink.tasks.plan.identity import own_code, stage_identity
from overthink.tasks.plan.scored_run import scored_run
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.records import Problem
from overthink.tasks.reporting.prm_tables import FIGURES_SQL, figure_rows
from overthink.tasks.stages.measure import Labels, MeasuredRollouts, ThresholdSplit, labels_by_rollout, run_figures
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import StageJob, StageRunner

READER = "prm-eval --run"
SPLIT = ThresholdSplit(share=0.5, seed=0)  # of the rollouts whose steps a labeller has labelled


@flow(name="prm-eval-run", flow_run_name="prm-eval {run_name}", persist_result=False)
async def prm_eval_run(run_name: str, store: StorePlace) -> str:
    """Measure the PRM scores that a finished run left in the store, without any engine; returns the run's id.

    Raises UserError or StorageError where there is nothing to measure.
    """
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(opened.find_run(run_name).run_id), progress.shown():
        run = scored_run(opened, run_name, READER)
        uses = await _measure_run(opened, run, progress)
        kept = tuple(use for use in run.stages if use.kind != StageKind.MEASURE)
        opened.write_run(replace(run, stages=(*kept, *uses)))
    await publish_rows(run.run_id, "prm", figure_rows(opened, run.run_id), FIGURES_SQL)
    return run.run_id


async def _measure_run(store: Store, run: Run, progress: RunProgress) -> list[StageUse]:
    recipe = Recipe.model_validate(run.recipe)
    methods = recipe.fixed_methods
    if not methods:
        raise UserError(f"run {run.run_id} has no method but compute_optimal: measure a run that its strategy is from")
    by_kind = {(use.kind, use.method_id): use.key for use in run.stages}
    problems_key = by_kind[StageKind.PROBLEMS, None]
    problems = {row["problem_key"]: _problem(row) for row in store.stage(problems_key).table("problems").to_pylist()}
    stages = StageRunner(store, progress, run.run_id, problems)
    uses = []
    for method in methods:
        made = by_kind[StageKind.SEARCH if method.is_search else StageKind.SAMPLE, method.method_id]
        scored = made if method.is_search else by_kind[StageKind.SCORE, method.method_id]
        graded = by_kind[StageKind.GRADE, method.method_id]
        samples, scores, grades = store.stage(made), store.stage(scored), store.stage(graded)
        labels, label_files = _step_labels(store, set(samples.table("rollouts")["rollout_id"].to_pylist()))
        identity = stage_identity(
            StageKind.MEASURE,
            grades=graded,
            scores=scored,
            problems=problems_key,
            n=method.n,
            labels=label_files,
            threshold=vars(SPLIT),
            seed=run.seed,
            **own_code("rollout_measures"),
        )
        key = labelled_key(StageKind.MEASURE, identity)
        sources = (*grades.digests("grades", problems), *scores.digests("scores", problems))
        job = StageJob(store.stage(key), identity, f"measure {method.method_id}", method.n, len(problems))
        with recipe.grader.judge() as judge:
            measured = MeasuredRollouts(samples, grades, scores, labels, method.independent)
            figures = partial(run_figures, measured, problems, SPLIT, run.seed, judge)
            await stages.measure(job, str(run.prm), method.method_id, figures, sources)
        uses.append(StageUse(StageKind.MEASURE, key, method.method_id, method.n))
    return uses


def _problem(row: Mapping[str, Any]) -> Problem:
    return Problem(**{name: row[name] for name in Problem.__dataclass_fields__})


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
