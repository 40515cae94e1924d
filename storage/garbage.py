"""Garbage collection: finds what no run refers to, and removes it so that a kill at any moment leaves a whole store.

One rename moves a stage or run into `removed/`; it is deleted from there. Each is checked again under its lock, so
nothing is removed that a running process holds or that a new run has begun to use.
"""

import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from overthink.storage.files import disk_errors, make_folder, sync
from overthink.storage.journal import Journal
from overthink.storage.lock import only_writer
from overthink.storage.stage_kinds import ENGINES_OF, StageKind
from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Run, Store

REMOVED = "removed"
COSTLY = tuple(f"{kind}-" for kind in (*ENGINES_OF, StageKind.IMPORT))  # made by engines, or by another tool
_STAGE_KEY = re.compile(r"[a-z]+-[0-9a-f]{20}")


@dataclass(frozen=True)
class Garbage:
    """Something that no run refers to, and its size in bytes.

    What an engine spent time on is removed only where the caller names `confirm`, its stage's key or its run's id.
    """

    path: Path
    reason: str
    size: int
    confirm: str | None = None


@dataclass(frozen=True)
class Owner:
    """A stage or run that garbage may belong to, by its key or id; its lock protects it."""

    kind: str
    name: str


@dataclass(frozen=True)
class Known:
    """The runs and the ids of the sweeps to keep, and the ids of the runs and sweeps to forget."""

    runs: tuple[Run, ...]
    sweep_ids: frozenset[str]
    forgotten: frozenset[str]


def find_garbage(store: Store, forgotten: Collection[str] = ()) -> list[Garbage]:
    """All garbage, as if the runs and sweeps whose ids are `forgotten` were gone.

    Raises StorageError where a run's manifest cannot be read, because its references are then unknown.
    """
    known = _known(store, forgotten)
    leftover = [_garbage(store, path, "left by a removal that was killed") for path in _leftovers_of_removal(store)]
    return leftover + [item for owner in _owners(store) for item in _of(store, owner, known)]


def remove_garbage(
    store: Store, forgotten: Collection[str] = (), confirmed: Collection[str] = ()
) -> tuple[list[Garbage], list[str]]:
    """Remove garbage, of engines' output only what is `confirmed`; returns what was removed, and why the rest was left.

    Raises StoreBusy where another process is removing garbage, or is writing a run to forget.
    """
    gone: list[Garbage] = []
    left: list[str] = []
    with only_writer(store.root / "locks" / "gc", "the store's garbage"):
        for path in _leftovers_of_removal(store):
            gone.append(_garbage(store, path, "left by a removal that was killed"))
            _delete(path)
        for owner in _owners(store):
            if not any(_removable(_of(store, owner, _known(store, forgotten)), confirmed)):
                continue
            try:
                gone += _remove(store, owner, forgotten, confirmed)
            except StoreBusy as error:
                if owner.name in forgotten:
                    raise
                left.append(str(error))
    return gone, left


def _remove(store: Store, owner: Owner, forgotten: Collection[str], confirmed: Collection[str]) -> list[Garbage]:
    with _lock(store, owner):
        store.refresh("runs/")
        found = _removable(_of(store, owner, _known(store, forgotten)), confirmed)
        if owner.kind == "run" and found:
            # The records first, in a folder all at once: from then on the run does not exist, whenever a kill comes.
            for name in ("run.json", "sweep.json"):
                store.forget(store.run_folder(owner.name) / name)
        for item in found:
            _move(store, item.path)
    return found


def _removable(found: Iterable[Garbage], confirmed: Collection[str]) -> list[Garbage]:
    return [item for item in found if item.confirm is None or item.confirm in confirmed]


def _known(store: Store, forgotten: Collection[str]) -> Known:
    return Known(
        tuple(run for run in store.runs() if run.run_id not in forgotten),
        frozenset(sweep.sweep_id for sweep in store.sweeps()) - frozenset(forgotten),
        frozenset(forgotten),
    )


def _owners(store: Store) -> list[Owner]:
    """Runs before stages, because stages are garbage once the last run that refers to them is gone."""
    models = [path.name.removeprefix(".").removesuffix(".training") for path in (store.root / "models").glob("*")]
    folders = [path.name for path in (store.root / "runs").glob("*") if path.is_dir()]
    locks = [path.name for path in (store.root / "locks").glob("*") if _STAGE_KEY.fullmatch(path.name)]
    runs, stages = sorted({*folders, *models}), sorted({*locks, *(stage.key for stage in store.stages())})
    return [*(Owner("run", name) for name in runs), *(Owner("stage", name) for name in stages)]


def _of(store: Store, owner: Owner, known: Known) -> Iterator[Garbage]:
    return _of_run(store, owner.name, known) if owner.kind == "run" else _of_stage(store, owner.name, known.runs)


def _of_run(store: Store, run_id: str, known: Known) -> Iterator[Garbage]:
    runs = known.runs
    if run_id in known.sweep_ids or any(run.run_id == run_id for run in runs):
        return
    model = store.model_folder(run_id)
    named = any(f"{model.parent.name}/{run_id}" in json.dumps(run.recipe) for run in runs)
    confirm = None if run_id in known.forgotten else run_id  # naming a run also confirms the model it trained
    if store.run_folder(run_id).is_dir():
        record = confirm if store.has_model(run_id) else None  # in a bucket the model's files are listed there
        yield _garbage(store, store.run_folder(run_id), "a run without a manifest, or one that was named", record)
    if store.has_model(run_id) and not named:
        yield _garbage(store, model, "the run that trained it is not there, and no recipe names it", confirm)
    work = model.with_name(f".{run_id}.training")
    if work.is_dir():
        yield _garbage(store, work, "a training whose run is not there", confirm)


def _of_stage(store: Store, key: str, runs: Iterable[Run]) -> Iterator[Garbage]:
    stage, lock = store.stage(key), store.root / "locks" / key
    confirm = key if key.startswith(COSTLY) and stage.folder.is_dir() else None
    users = [run for run in runs if any(use.key == key for use in run.stages)]
    if not users:
        if stage.folder.is_dir():
            yield _garbage(store, stage.folder, "no run refers to this stage", confirm)
        if lock.exists():
            yield _garbage(store, lock, "a lock of no stage", confirm)
        return
    if store.holds(stage.set_aside_folder):
        yield _garbage(store, stage.set_aside_folder, "parts whose bytes no longer matched")
    if all(run.status == "complete" for run in users):
        for path in (each for journal in stage.journals.paths() for each in Journal.files(journal)):
            yield _garbage(store, path, "a journal of complete runs", confirm)
    # An apparent leftover may be about to get its manifest entry; a killed run cleans up when it is resumed.
    if not any(run.status == "running" for run in users):
        for path in (*stage.leftovers(), *stage.orphans()):
            yield _garbage(store, path, "left by a crash")


def _lock(store: Store, owner: Owner) -> AbstractContextManager[None]:
    return store.lock_run(owner.name) if owner.kind == "run" else store.lock_stage(store.stage(owner.name))


def _garbage(store: Store, path: Path, reason: str, confirm: str | None = None) -> Garbage:
    return Garbage(path, reason, store.size_of(path), confirm)


def _leftovers_of_removal(store: Store) -> list[Path]:
    return sorted((store.root / REMOVED).glob("*"))


def _move(store: Store, path: Path) -> None:
    """Move it into `removed/`, durably; then delete it."""
    store.forget(path)
    if not path.exists():
        return
    target = store.root / REMOVED / "--".join(path.relative_to(store.root).parts)
    with disk_errors(path):
        make_folder(target.parent)
        path.rename(target)
        sync(path.parent)
        sync(target.parent)
    _delete(target)


def _delete(path: Path) -> None:
    with disk_errors(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
