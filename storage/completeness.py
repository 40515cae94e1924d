"""Is a run whole? What each of its stages must hold, and which stages lack parts or hold damaged ones."""

from collections.abc import Iterable
from dataclasses import dataclass

from overthink.storage.manifest import gaps_of
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, StageUse, Store

# `n` of a label stage is the number of continuations behind each label.
ONE_A_PROBLEM = (StageKind.PROBLEMS, StageKind.DECIDE, StageKind.LABEL)


@dataclass(frozen=True)
class IncompleteStage:
    """A stage of a run that lacks parts, or whose bytes are not those that were written."""

    use: StageUse
    reason: str

    def __str__(self) -> str:
        method = "" if self.use.method_id is None else f" of {self.use.method_id}"
        return f"{self.use.kind}{method} ({self.use.key}): {self.reason}"


def is_whole(store: Store, run_id: str, uses: Iterable[StageUse]) -> bool:
    """Whether a run is complete, and every part of the stages `uses`, which are all or some of its own, is whole."""
    run = next((run for run in store.runs() if run.run_id == run_id), None)
    wanted = {use.key for use in uses}
    if run is None or run.status != "complete" or not wanted.issubset(use.key for use in run.stages):
        return False
    return not any(stage.use.key in wanted for stage in incomplete_stages(store, run))


def incomplete_stages(store: Store, run: Run) -> list[IncompleteStage]:
    """The stages of a run that are incomplete or damaged, in the run's order. Reads every byte of every part."""
    found, standing = [], store.as_it_stands()
    for use in run.stages:
        reason = next(filter(None, map(store.stage(use.key).damage, standing.entries(use.key))), None)
        reason = reason or lack(standing, run, use)
        if reason is None and use.kind == StageKind.LABEL and not store.has_model(run.run_id):
            reason = "the model that was trained with it is missing"
        if reason is not None:
            found.append(IncompleteStage(use, reason))
    return found


def lack(store: Store, run: Run, use: StageUse) -> str | None:
    """Why a stage does not hold what a run needs, by the manifests alone; None where it does."""
    samples, entries = samples_of(run, use), store.entries(use.key)
    # The problems' keys, from the manifest: the part itself may be lost.
    units = [unit for entry in store.entries(problems_key(run)) for unit in entry.extent.units]
    if not entries or any(gaps_of(entries, units, samples).values()):
        return "parts are missing"
    stage = store.stage(use.key)
    if use.kind == StageKind.SELECT and stage.is_described and stage.identity().get("n", samples) != samples:
        return f"it was chosen among {stage.identity()['n']} rollouts a problem, and run.json says {samples}"
    return None


def samples_of(run: Run, use: StageUse) -> int:
    """How many samples of each problem a stage holds; for a select stage, of its method's rollouts."""
    if use.kind in ONE_A_PROBLEM:
        return 1
    if use.kind == StageKind.SELECT:
        return max((other.n or 1 for other in run.stages if other.method_id == use.method_id), default=1)
    return use.n or 1


def problems_key(run: Run) -> str:
    """The address of the stage that holds a run's problems. Raises StorageError where there is none."""
    for use in run.stages:
        if use.kind == StageKind.PROBLEMS:
            return use.key
    raise StorageError(f"run {run.run_id} names no stage of problems: delete its run.json and run its recipe again")
