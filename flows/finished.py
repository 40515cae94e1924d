"""A finished run whose rollouts are to be read again: what it lacks is told before anything is computed."""

from flows.recipe import Recipe
from storage.errors import StorageError
from storage.store import Run, Store
from tasks.errors import UserError
from tasks.problems.sources import has_references


def scored_run(store: Store, run_name: str, reader: str) -> Run:
    """A finished run with PRM scores, whole, for the command `reader`.

    Raises UserError or StorageError with the remedy where it is not one.
    """
    run = store.find_run(run_name)
    if {"import", "select"} <= {use.kind for use in run.stages}:
        raise UserError(f"run {run.run_id} was imported: `{reader}` reads runs of `overthink run`")
    if run.policy is None:
        raise UserError(f"run {run.run_id} is one of `overthink prm-eval`: see `overthink report {run.run_id}`")
    if run.prm is None:
        raise UserError(f"run {run.run_id} has no PRM scores: name a `prm` in its recipe and run it again")
    if not has_references(Recipe.model_validate(run.recipe).problems):
        raise UserError(f"run {run.run_id} is not graded, because its problems came without references")
    if run.status != "complete":
        raise StorageError(f"run {run.run_id} is not complete: run its recipe again to finish it")
    for stage in (store.stage(use.key) for use in run.stages if use.kind != "measure"):
        damage = next(filter(None, map(stage.damage, stage.entries())), None)
        if damage:
            raise StorageError(f"run {run.run_id}, stage {stage.key}: {damage}; run its recipe again, which mends it")
    return run
