"""A store: the folder that holds stages and runs."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from storage.errors import StorageError
from storage.files import read_json, write_json
from storage.lock import fellow_writer, lease, only_writer
from storage.stages import Stage

Status = Literal["running", "complete", "failed"]


@dataclass(frozen=True)
class StageUse:
    """One stage that a run stands on: `n` samples of each problem of the stage at `key`.

    `gpus` is how many GPUs its engines take, 0 on a CPU; None where unknown, and for stages without engines.
    """

    kind: Literal["problems", "import", "sample", "search", "score", "grade", "decide", "select", "label", "measure"]
    key: str
    method_id: str | None = None
    n: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Run:
    """One recipe on one set of problems. Times are ISO 8601 in UTC; parameter counts are None where unknown.

    `policy` is None where the solutions were not written here.
    """

    run_id: str
    name: str
    recipe: Mapping[str, Any]
    seed: int
    status: Status
    created_at: str
    finished_at: str | None
    versions: Mapping[str, str]
    problem_set: str
    policy: str | None
    policy_parameters: int | None
    prm: str | None
    prm_parameters: int | None
    stages: tuple[StageUse, ...]


@dataclass(frozen=True)
class Sweep:
    """Runs that were made together as one grid. A run may belong to several."""

    sweep_id: str
    name: str
    run_ids: tuple[str, ...]


class Store:
    """Everything under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def address(self) -> str:
        """What `--store` names it by."""
        return str(self.root)

    def exists(self) -> bool:
        """Whether anything was ever stored there."""
        return self.root.is_dir()

    def refresh(self, folder: str = "") -> None:
        """Take note of what was written elsewhere; a folder is read anew at every question."""

    def stage(self, key: str) -> Stage:
        """The stage at a content address, made or not."""
        return Stage(self.root / "stages" / key)

    def stages(self) -> list[Stage]:
        """All stages that have begun."""
        return [self.stage(folder.name) for folder in sorted((self.root / "stages").glob("*")) if folder.is_dir()]

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run: its manifest, log and lock."""
        return self.root / "runs" / run_id

    def model_folder(self, run_id: str) -> Path:
        """Where a model lies that a run trained."""
        return self.root / "models" / run_id

    def has_model(self, run_id: str) -> bool:
        """Whether the model that a run trained is there."""
        return self.model_folder(run_id).is_dir()

    def model(self, run_id: str) -> Path:
        """The folder of the model that a run trained, with everything in it."""
        return self.model_folder(run_id)

    def keep_model(self, run_id: str) -> None:
        """Have what was trained into its folder where the store keeps its files."""

    def model_damage(self, run_id: str) -> str | None:
        """What is wrong with the model that a run trained, or None."""
        return None if self.has_model(run_id) else "is missing"

    def bring(self, tables: Collection[str]) -> None:
        """Have the files of some tables where SQL reads them."""

    def write_run(self, run: Run) -> None:
        """Write a run's manifest whole."""
        write_json(self.run_folder(run.run_id) / "run.json", asdict(run))

    def runs(self) -> list[Run]:
        """All runs, oldest first. Raises StorageError naming a manifest that is not whole."""
        paths = sorted((self.root / "runs").glob("*/run.json"))
        return sorted((read_run(path) for path in paths), key=lambda run: (run.created_at, run.run_id))

    def find_run(self, name: str) -> Run:
        """The run whose id is, or alone starts with, `name`. Raises StorageError with the known runs otherwise."""
        runs = self.runs()
        found = [run for run in runs if run.run_id == name] or [run for run in runs if run.run_id.startswith(name)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(run.run_id for run in runs) or "none"
        problem = "no run" if not found else f"{len(found)} runs"
        raise StorageError(f"{self.root} holds {problem} named {name!r}; runs there: {known}")

    def write_sweep(self, sweep: Sweep) -> None:
        """Write down which runs a sweep is made of."""
        write_json(self.run_folder(sweep.sweep_id) / "sweep.json", asdict(sweep))

    def sweeps(self) -> list[Sweep]:
        """All sweeps, by id. Raises StorageError naming a file that is not whole."""
        return [_read_sweep(path) for path in sorted((self.root / "runs").glob("*/sweep.json"))]

    def find_runs(self, name: str) -> list[Run]:
        """The runs of the sweep whose id is, or alone starts with, `name`; else the one run that `find_run` finds.

        Raises StorageError where `name` could be several sweeps, or is neither.
        """
        runs = self.runs()
        sweeps = [] if any(run.run_id == name for run in runs) else self.sweeps()
        found = [sweep for sweep in sweeps if sweep.sweep_id == name] or [
            sweep for sweep in sweeps if sweep.sweep_id.startswith(name)
        ]
        if not found:
            return [self.find_run(name)]
        if len(found) > 1:
            known = ", ".join(sweep.sweep_id for sweep in found)
            raise StorageError(f"{self.root} holds {len(found)} sweeps named {name!r}: name one, of {known}")
        return [run for run in runs if run.run_id in found[0].run_ids]

    def holds(self, path: Path) -> bool:
        """Whether there is something at a path of the store."""
        return path.exists()

    def size_of(self, path: Path) -> int:
        """The bytes that a file or folder takes."""
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return sum(each.stat().st_size for each in files)

    def forget(self, path: Path) -> None:
        """Remove what lies elsewhere of something that is about to be removed here."""

    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """Be the only writer of a run. Raises StoreBusy where another process is."""
        return only_writer(self.run_folder(run_id) / "lock", f"run {run_id}")

    def share_run(self, run_id: str, begin: Callable[[], object]) -> AbstractContextManager[Callable[[], bool]]:
        """Write a run with other processes that share it; see `fellow_writer`. Raises StoreBusy where one does not."""
        return fellow_writer(self.run_folder(run_id) / "lock", f"run {run_id}", run_id, begin)

    def ending_run(self, run_id: str) -> AbstractContextManager[None]:
        """Be the one that ends a shared run. Raises StoreBusy where another process is."""
        return lease(self.run_folder(run_id) / "ending", f"the end of run {run_id}")

    def share_stage(
        self, stage: Stage, work: str, prepare: Callable[[], object]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Write a stage with other processes that do the same `work`; see `fellow_writer`. Raises StoreBusy."""
        return fellow_writer(self.root / "locks" / stage.key, f"stage {stage.key}", work, prepare)

    def lock_stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Be the only writer of a stage, which several runs may share. Raises StoreBusy where another process is."""
        return only_writer(self.root / "locks" / stage.key, f"stage {stage.key}")


def _read_sweep(path: Path) -> Sweep:
    value = read_json(path)
    try:
        return Sweep(value["sweep_id"], value["name"], tuple(value["run_ids"]))
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} is not the list of a sweep ({error}): delete it and run the sweep again") from error


def read_run(path: Path) -> Run:
    """Parse a run's manifest. Raises StorageError where it is not one."""
    value = read_json(path)
    try:
        stages = tuple(StageUse(**stage) for stage in value.pop("stages"))
        return Run(stages=stages, **value)
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path} is not a run's manifest ({error}): delete it and run the recipe again") from error
