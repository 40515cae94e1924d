"""Finds a finished run to read again, and reports what it lacks before anything is computed."""

from overthink.storage.completeness import incomplete_stages
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.datasets.sources import has_references
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.loading import KINDS
from overthink.tasks.recipes.recipe import AnyRecipe, Recipe


def scored_run(store: Store, run_name: str, reader: str) -> Run:
    """A complete run with PRM scores, for the command `reader`.

    Raises UserError or StorageError with the remedy where the run does not qualify.
    """
    run = store.find_run(run_name)
    if {StageKind.IMPORT, StageKind.SELECT} <= {use.kind for use in run.stages}:
        raise UserError(f"run {run.run_id} was imported: `{reader}` reads runs of `overthink run`")
    if run.policy is None:
        raise UserError(f"run {run.run_id} is one of `overthink prm-eval`: see `overthink report {run.run_id}`")
    if run.prm is None:
        raise UserError(f"run {run.run_id} has no PRM scores: name a `prm` in its recipe and run it again")
    if not has_references(Recipe.model_validate(run.recipe).problems):
        raise UserError(f"run {run.run_id} is not graded, because its problems came without references")
    if run.status != "complete":
        raise StorageError(f"run {run.run_id} is not complete: run its recipe again to finish it")
    for stage in incomplete_stages(store, run):
        if stage.use.kind != StageKind.MEASURE:
            raise StorageError(f"run {run.run_id}, {stage}; run its recipe again, which mends it")
    return run


def remedy(run: Run) -> str:
    """The command that restores what an engine or another tool made for a finished run."""
    kinds: tuple[type[AnyRecipe], ...] = (*KINDS, ImportRecipe)
    command = next(kind.command for kind in kinds if kind.own_key in run.recipe)
    return f"`overthink {command}` with the run's recipe brings it back, and asks only for what is missing"
