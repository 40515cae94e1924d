"""A store: the folder that holds stages and runs."""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, TypeAdapter

from overthink.storage.live_reports import LiveReports
from overthink.storage.lock import fellow_writer, is_held, lease, only_writer
from overthink.storage.manifest import Entry
from overthink.storage.record_files import EXACT, read_record, write_record
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError
from overthink.tasks.closest import closest

_STAGE_KEY = re.compile(r"[a-z]+-[0-9a-z]+")
Status = Literal["running", "complete", "failed"]


@dataclass(frozen=True)
class StageUse:
    """One stage that a run uses: `n` samples of each problem from the stage at `key`.

    `gpus` is the number of GPUs that it takes, 0 on a CPU; None where unknown, and for stages without engines. `inputs`
    are the keys of the stages that it reads; None in manifests of version 0.1, which did not store them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    kind: StageKind
    key: str
    method_id: str | None = None
    n: int | None = None
    gpus: int | None = None
    inputs: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Run:
    """One recipe on one set of problems. Times are ISO 8601 in UTC; parameter counts are None where unknown.

    `policy` is None where the solutions were imported.
    """

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

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
    """The runs of one grid. A run may belong to several sweeps."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    sweep_id: str
    name: str
    run_ids: tuple[str, ...]


class Store:
    """Everything under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read_once: dict[str, list[Entry]] | None = None

    @property
    def address(self) -> str:
        """The store's name, as given to `--store`."""
        return str(self.root)

    def exists(self) -> bool:
        """Whether anything was ever stored there."""
        return self.root.is_dir()

    def refresh(self, folder: str = "") -> None:
        """Fetch what other machines wrote; a folder needs nothing, because every query reads it again."""

    def stage(self, key: str) -> Stage:
        """The stage at a content address, whether it exists or not."""
        return Stage(self.root / "stages" / key)

    def as_it_stands(self) -> Self:
        """This store with each stage's manifest read once, for who asks a store much that is not written meanwhile."""
        if self._read_once is not None:
            return self
        standing = copy(self)
        standing._read_once = {}
        return standing

    def entries(self, key: str) -> list[Entry]:
        """The manifest of a stage, empty where there is no such stage. Raises StorageError as `Stage.entries` does."""
        if self._read_once is None:
            return self.stage(key).entries()
        if key not in self._read_once:
            self._read_once[key] = self.stage(key).entries()
        return self._read_once[key]

    def stages(self) -> list[Stage]:
        """All stages that have begun. Raises StorageError naming a folder that is not a stage's, or a dead link."""
        folders = self.folders("stages")
        for folder in folders:
            if not _STAGE_KEY.fullmatch(folder.name) or folder.resolve().name != folder.name:
                raise StorageError(f"{folder} is not a stage's folder: if it is a copy, move it out of the store")
        return [self.stage(folder.name) for folder in folders]

    def records(self, name: str) -> list[Path]:
        """The files called `name` in the folders of runs."""
        return [path for folder in self.folders("runs") if (path := folder / name).exists()]

    def folders(self, name: str) -> list[Path]:
        """The folders in a folder of the store, without hidden ones (of other programs). Raises for a dead link."""
        paths = [path for path in sorted((self.root / name).glob("*")) if not path.name.startswith(".")]
        for path in paths:
            if path.is_symlink() and not path.exists():
                raise StorageError(f"{path} is a link to nothing: put what it named in its place, or delete it")
        return [path for path in paths if path.is_dir()]

    def run_folder(self, run_id: str) -> Path:
        """The folder of a run: its manifest, log and lock."""
        return self.root / "runs" / run_id

    def model_folder(self, run_id: str) -> Path:
        """The path of the model that a run trained."""
        return self.root / "models" / run_id

    def has_model(self, run_id: str) -> bool:
        """Whether the model that a run trained exists."""
        return self.model_folder(run_id).is_dir()

    def model(self, run_id: str) -> Path:
        """The folder of the model that a run trained, with all its files."""
        return self.model_folder(run_id)

    def keep_model(self, run_id: str) -> None:
        """Move a newly trained model's files to where the store keeps them; in a folder they are there already."""

    def model_damage(self, run_id: str) -> str | None:
        """What is wrong with the model that a run trained, or None."""
        return None if self.has_model(run_id) else "is missing"

    def bring(self, tables: Collection[str], keys: Collection[str] | None = None) -> None:
        """Fetch the files of some tables, of all stages or of some, to where SQL reads them; a folder has them."""

    def write_run(self, run: Run) -> None:
        """Write a run's manifest atomically."""
        write_record(self.run_folder(run.run_id) / "run.json", asdict(run))

    def runs(self) -> list[Run]:
        """All runs, oldest first. Raises StorageError naming a manifest that is damaged or in a wrong folder."""
        return sorted(map(read_run, self.records("run.json")), key=lambda run: (run.created_at, run.run_id))

    def lost_runs(self) -> list[Path]:
        """Folders of runs with a lock but no manifest: a run writes its manifest right after it takes the lock."""
        begun = [folder for folder in self.folders("runs") if (folder / "lock").exists()]
        return [folder for folder in begun if not {"run.json", "sweep.json"} & {path.name for path in folder.iterdir()}]

    def find_run(self, name: str) -> Run:
        """The newest of `runs_named`. Raises StorageError where there is none, with what was perhaps meant."""
        return self.runs_named(name)[-1]

    def runs_named(self, name: str) -> list[Run]:
        """The run whose id is `name`, else those of that name, else those whose id starts with it; oldest first.

        Raises StorageError where there is none, with what was perhaps meant.
        """
        runs = self.runs()
        begin = [run for run in runs if name and run.run_id.startswith(name)]
        found = [run for run in begin if run.run_id == name] or [run for run in begin if run.name == name] or begin
        if found:
            return found
        if not runs:
            raise StorageError(f"{self.address} holds no run yet: make one with `overthink run`")
        known = [run.run_id for run in reversed(runs)]
        meant = closest(name, dict.fromkeys([*known, *(run.name for run in runs)]))
        hint = f"runs there: {', '.join(known)}" if meant is None else f"did you mean {meant}?"
        raise StorageError(f"{self.address} holds no run named {name!r}: {hint}")

    def write_sweep(self, sweep: Sweep) -> None:
        """Write the list of a sweep's runs."""
        write_record(self.run_folder(sweep.sweep_id) / "sweep.json", asdict(sweep))

    def sweeps(self) -> list[Sweep]:
        """All sweeps, by id. Raises StorageError naming a file that is damaged or in a wrong folder."""
        return [read_sweep(path) for path in self.records("sweep.json")]

    def find_runs(self, name: str) -> list[Run]:
        """The runs of the sweep whose id is `name`, or is the only one starting with it; else that of `find_run`.

        Raises StorageError where `name` matches several sweeps, or nothing.
        """
        sweep = self.find_sweep(name)
        return [self.find_run(name)] if sweep is None else [run for run in self.runs() if run.run_id in sweep.run_ids]

    def find_sweep(self, name: str) -> Sweep | None:
        """The sweep whose id is `name`, or is the only one starting with it; None if none is, or a run has that id.

        Raises StorageError where `name` matches several sweeps.
        """
        sweeps = [] if any(run.run_id == name for run in self.runs()) else self.sweeps()
        found = [sweep for sweep in sweeps if sweep.sweep_id == name] or [
            sweep for sweep in sweeps if sweep.sweep_id.startswith(name)
        ]
        if len(found) > 1:
            known = ", ".join(sweep.sweep_id for sweep in found)
            raise StorageError(f"{self.root} holds {len(found)} sweeps named {name!r}: name one, of {known}")
        return found[0] if found else None

    def holds(self, path: Path) -> bool:
        """Whether there is something at a path of the store."""
        return path.exists()

    def size_of(self, path: Path) -> int:
        """The size of a file or folder in bytes."""
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return sum(each.stat().st_size for each in files)

    def forget(self, path: Path) -> None:
        """Remove the remote objects of something that is about to be removed here; a folder has none."""

    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """Lock a run as its only writer. Raises StoreBusy where another process writes it."""
        return only_writer(self.run_folder(run_id) / "lock", f"run {run_id}")

    def is_being_written(self, run_id: str) -> bool:
        """Whether any process is writing a run now."""
        return is_held(self.run_folder(run_id) / "lock")

    def reports(self, run_id: str) -> LiveReports:
        """What the processes say that make a run or a sweep."""
        return LiveReports(self.run_folder(run_id) / "live")

    def share_run(self, run_id: str, begin: Callable[[], object]) -> AbstractContextManager[Callable[[], bool]]:
        """Share the writing of a run with others (see `fellow_writer`). Raises StoreBusy where it is not shared."""
        return fellow_writer(self.run_folder(run_id) / "lock", f"run {run_id}", run_id, begin)

    def ending_run(self, run_id: str) -> AbstractContextManager[None]:
        """Lock the end of a shared run. Raises StoreBusy where another process is ending it."""
        return lease(self.run_folder(run_id) / "ending", f"the end of run {run_id}")

    def share_stage(
        self, stage: Stage, work: str, prepare: Callable[[], object]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Write a stage with other processes that do the same `work`; see `fellow_writer`. Raises StoreBusy."""
        return fellow_writer(self.root / "locks" / stage.key, f"stage {stage.key}", work, prepare)

    def lock_stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Lock a stage, which several runs may share, as its only writer. Raises StoreBusy where another writes it."""
        return only_writer(self.root / "locks" / stage.key, f"stage {stage.key}")


_RUN, _SWEEP = TypeAdapter(Run), TypeAdapter(Sweep)


def read_run(path: Path) -> Run:
    """Parse a run's manifest. Raises StorageError where it is not one, or its folder has another run's name."""
    run = read_record(path, _RUN, "a run's manifest")
    _require_own(path, run.run_id)
    for use in run.stages:
        if not use.key.startswith(f"{use.kind}-"):
            raise StorageError(f"{path} calls {use.key} a {use.kind} stage: delete it and run the recipe again")
    return run


def read_sweep(path: Path) -> Sweep:
    """Parse the list of a sweep. Raises StorageError where it is not one, or its folder has another sweep's name."""
    sweep = read_record(path, _SWEEP, "the list of a sweep")
    _require_own(path, sweep.sweep_id)
    return sweep


def _require_own(path: Path, name: str) -> None:
    if path.parent.name != name:
        raise StorageError(
            f"{path} is of {name}, not of its folder: if {path.parent.name} is a copy, move it out of the store; "
            "else give the folder its name back"
        )
