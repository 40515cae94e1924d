"""Is a store whole? Checks every part against its manifest, every record, and the stages of each complete run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from overthink.storage.completeness import lack
from overthink.storage.files import disk_errors
from overthink.storage.garbage import find_garbage
from overthink.storage.manifest import Entry
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store, Sweep, read_run, read_sweep
from overthink.tasks.counted import counted

MAKE_ANEW = "run its recipe again, which rebuilds it"
Record = TypeVar("Record")


@dataclass(frozen=True)
class Finding:
    """The result of one check: the place, what was found there, and, unless all is well, the remedy."""

    level: Literal["ok", "warning", "broken"]
    place: str
    what: str
    remedy: str = ""


def store_findings(store: Store) -> Iterator[Finding]:
    """What is wrong with a store, or one line that says that all is well. Reads every byte of every part."""
    found: list[Finding] = []
    runs, sweeps, stages = list[Run](), list[Sweep](), list[Stage]()
    with _noted(found, store.root):
        runs += _readable(found, store.records("run.json"), read_run)
        sweeps += _readable(found, store.records("sweep.json"), read_sweep)
        stages += store.stages()
        found += _lost_runs(store)
    parts = sum(_check_stage(stage, runs, found) for stage in stages)
    standing = store.as_it_stands()
    for run in runs:
        found += _unsupported(standing, run)
    if not any(finding.level == "broken" for finding in found):
        counted_parts = f"{counted(len(runs), 'run')}, {counted(len(stages), 'stage')}, {counted(parts, 'part')}"
        counts = f"{counted_parts}: every byte is as it was written"
        yield Finding("ok", store.address, counts)
        found += [*_unbegun_runs(sweeps, runs), *_garbage_warnings(store)]
    yield from found


@contextmanager
def _noted(found: list[Finding], place: Path) -> Iterator[None]:
    """Turn a StorageError inside the block into a finding."""
    try:
        yield
    except StorageError as error:
        what, _, remedy = str(error).rpartition(": ")
        found.append(Finding("broken", str(place), what, remedy))


def _readable(found: list[Finding], paths: Iterable[Path], read: Callable[[Path], Record]) -> list[Record]:
    """The readable records; errors of the others are appended to `found`."""
    records = []
    for path in paths:
        with _noted(found, path):
            records.append(read(path))
    return records


def _check_stage(stage: Stage, runs: Sequence[Run], found: list[Finding]) -> int:
    """The number of parts checked; what is wrong is appended to `found`."""
    users = ", ".join(run.run_id for run in runs if any(use.key == stage.key for use in run.stages))
    remedy = f"{MAKE_ANEW} ({users})" if users else "`overthink gc` lists this stage: no run refers to it"
    paths = sorted(stage.manifest_folder.glob("*.json"))
    entries = _readable(found, paths, Entry.read)
    if len(entries) == len(paths):
        with _noted(found, stage.folder):
            stage.entries()  # as a whole: wrong stage, samples held twice
    for entry in entries:
        with _noted(found, stage.parts_folder), disk_errors(stage.folder):
            damage = stage.damage_at_rest(entry)
            if damage is not None:
                found.append(Finding("broken", str(stage.parts_folder), damage, remedy))
    return len(paths)


def _unsupported(store: Store, run: Run) -> Iterator[Finding]:
    """What a complete run depends on but the store lacks."""
    if run.status != "complete":
        return
    for use in run.stages:
        try:
            reason = lack(store, run, use)
        except StorageError:  # this record already has its own finding
            continue
        if reason is not None:
            place = str(store.stage(use.key).folder)
            yield Finding("broken", place, f"run {run.run_id} is complete, but {reason}", MAKE_ANEW)
    damage = store.model_damage(run.run_id) if any(use.kind == StageKind.LABEL for use in run.stages) else None
    if damage is not None:
        place = str(store.model_folder(run.run_id))
        yield Finding("broken", place, f"the model that run {run.run_id} trained {damage}", MAKE_ANEW)


def _lost_runs(store: Store) -> Iterator[Finding]:
    for folder in store.lost_runs():
        what = "run.json is missing, so that the run is in no table and its stages look like garbage"
        remedy = "restore it from a copy, or run its recipe again, which writes it and resumes from what is stored"
        yield Finding("broken", str(folder), what, remedy)


def _unbegun_runs(sweeps: Sequence[Sweep], runs: Sequence[Run]) -> Iterator[Finding]:
    known = {run.run_id for run in runs}
    for sweep in sweeps:
        lost = [run_id for run_id in sweep.run_ids if run_id not in known]
        if lost:
            what = f"{len(lost)} of the sweep's {len(sweep.run_ids)} runs are not there: {', '.join(lost)}"
            yield Finding("warning", sweep.sweep_id, what, "run the sweep again, which makes what is missing")


def _garbage_warnings(store: Store) -> Iterator[Finding]:
    garbage = find_garbage(store)
    size = sum(item.size for item in garbage if item.confirm is None)
    if size:
        yield Finding("warning", store.address, f"{size:,} bytes that no run refers to", "`overthink gc` lists them")
    costly = [item for item in garbage if item.confirm is not None]
    if costly:
        names, size = sorted({str(item.confirm) for item in costly}), sum(item.size for item in costly)
        what = f"{size:,} bytes that engines made and no run refers to, of {', '.join(names)}"
        remedy = "run the recipe again if a run.json was lost; else `overthink gc` says how to remove them"
        yield Finding("warning", store.address, what, remedy)


def network_file_system(path: Path, mounts: str) -> str | None:
    """The type of the network file system that holds `path`, from the text of /proc/mounts; None where it is local."""
    rows = [line.split() for line in mounts.splitlines()]
    above = [row for row in rows if len(row) > 2 and Path(row[1].replace("\\040", " ")) in (path, *path.parents)]
    kind = max(above, key=lambda row: len(row[1]))[2] if above else ""
    is_remote = kind.startswith(("nfs", "cifs", "smb", "9p", "lustre", "ceph", "gpfs", "afs", "beegfs", "fuse."))
    return kind if is_remote else None
