"""What a finished run has lost: parts that are missing, or whose bytes are not those that were written."""

from dataclasses import dataclass

from flows.import_recipe import ImportRecipe
from flows.recipe import AnyRecipe
from flows.recipe_files import KINDS
from storage.stages import Stage
from storage.store import Run, StageUse, Store


@dataclass(frozen=True)
class Loss:
    """A stage of a run that lacks parts, or whose bytes are not those that were written."""

    use: StageUse
    reason: str

    def __str__(self) -> str:
        method = "" if self.use.method_id is None else f" of {self.use.method_id}"
        return f"{self.use.kind}{method} ({self.use.key}): {self.reason}"


def losses(store: Store, run: Run) -> list[Loss]:
    """What a run lacks, in the order of its stages."""
    units = _units(store.stage(problems_key(run)))
    found = []
    for use in run.stages:
        stage = store.stage(use.key)
        reason = next(filter(None, map(stage.damage, stage.entries())), None)
        if not stage.entries() or (reason is None and stage.missing(units, _samples(run, use), len(units))):
            reason = "parts are missing"
        if reason is not None:
            found.append(Loss(use, reason))
    return found


def remedy(run: Run) -> str:
    """The command that brings back what an engine or another tool made."""
    kinds: tuple[type[AnyRecipe], ...] = (*KINDS, ImportRecipe)
    command = next(kind.command for kind in kinds if kind.own_key in run.recipe)
    return f"`overthink {command}` with the run's recipe brings it back, and asks only for what is missing"


def problems_key(run: Run) -> str:
    """The address of the stage that holds a run's problems."""
    return next(use.key for use in run.stages if use.kind == "problems")


def _units(problems: Stage) -> tuple[str, ...]:
    """The problems' addresses, by the manifest: the part itself may be lost."""
    return tuple(unit for entry in problems.entries() for unit in entry.cover.units)


def _samples(run: Run, use: StageUse) -> int:
    """How many samples of each problem a stage holds; a select stage those of its method's rollouts."""
    if use.kind == "select":
        return max((other.n or 1 for other in run.stages if other.method_id == use.method_id), default=1)
    return use.n or 1
