"""Is a store whole? Every part against its manifest, every manifest, and what each finished run stands on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage.errors import StorageError
from storage.files import disk_errors
from storage.garbage import find_garbage
from storage.stages import Entry, Stage
from storage.store import Run, Store, read_run

MAKE_ANEW = "run its recipe again, which makes it anew"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: where, what was found there, and, unless all is well, what to do about it."""

    level: Literal["ok", "warning", "broken"]
    place: str
    what: str
    remedy: str = ""


def store_findings(store: Store) -> Iterator[Finding]:
    """What is wrong with a store, or one line that says that nothing is. Reads every byte of every part."""
    found: list[Finding] = []
    runs = list(_runs(store, found))
    parts = sum(_check_stage(stage, runs, found) for stage in store.stages())
    for run in runs:
        found += _unsupported(store, run)
    if not any(finding.level == "broken" for finding in found):
        counts = f"{len(runs)} runs, {len(store.stages())} stages, {parts} parts: every byte is as it was written"
        yield Finding("ok", store.address, counts)
        found += _garbage_warning(store)
    yield from found


def _runs(store: Store, found: list[Finding]) -> Iterator[Run]:
    for path in sorted((store.root / "runs").glob("*/run.json")):
        try:
            yield read_run(path)
        except StorageError as error:
            found.append(Finding("broken", str(path), _first(error), "delete it, then run its recipe again"))


def _check_stage(stage: Stage, runs: Sequence[Run], found: list[Finding]) -> int:
    """The number of parts that were looked at; what is wrong joins `found`."""
    users = ", ".join(run.run_id for run in runs if any(use.key == stage.key for use in run.stages))
    remedy = f"{MAKE_ANEW} ({users})" if users else "`overthink gc --yes`: no run refers to this stage"
    paths = sorted(stage.manifest_folder.glob("*.json"))
    for path in paths:
        try:
            entry = Entry.read(path)
            with disk_errors(stage.folder):
                damage = stage.damage_at_rest(entry)
        except StorageError as error:
            found.append(Finding("broken", str(path), _first(error), f"delete it, then {remedy}"))
        else:
            if damage is not None:
                found.append(Finding("broken", str(stage.parts_folder), damage, remedy))
    return len(paths)


def _unsupported(store: Store, run: Run) -> Iterator[Finding]:
    """What a complete run stands on and is not there."""
    if run.status != "complete":
        return
    for use in run.stages:
        if use.kind != "measure" and _lacks(store, run, store.stage(use.key), use.n if use.kind != "label" else 1):
            place = str(store.stage(use.key).folder)
            yield Finding("broken", place, f"run {run.run_id} is complete, but lacks parts of this stage", MAKE_ANEW)
    damage = store.model_damage(run.run_id) if any(use.kind == "label" for use in run.stages) else None
    if damage is not None:
        place = str(store.model_folder(run.run_id))
        yield Finding("broken", place, f"the model that run {run.run_id} trained {damage}", MAKE_ANEW)


def _lacks(store: Store, run: Run, stage: Stage, samples: int | None) -> bool:
    problems = next(store.stage(use.key) for use in run.stages if use.kind == "problems")
    try:
        units = [unit for entry in problems.entries() for unit in entry.cover.units]
        return not stage.folder.is_dir() or bool(stage.missing(units, samples or 1, max(1, len(units))))
    except StorageError:  # a torn manifest entry, which has a finding of its own
        return False


def _garbage_warning(store: Store) -> Iterator[Finding]:
    size = sum(item.size for item in find_garbage(store))
    if size:
        yield Finding("warning", store.address, f"{size:,} bytes that no run refers to", "`overthink gc` lists them")


def _first(error: StorageError) -> str:
    return str(error).split(":", 1)[0]


def network_file_system(path: Path, mounts: str) -> str | None:
    """The kind of network file system that `path` lies on, by the text of /proc/mounts; None where it is local."""
    rows = [line.split() for line in mounts.splitlines()]
    above = [row for row in rows if len(row) > 2 and Path(row[1].replace("\\040", " ")) in (path, *path.parents)]
    kind = max(above, key=lambda row: len(row[1]))[2] if above else ""
    is_remote = kind.startswith(("nfs", "cifs", "smb", "9p", "lustre", "ceph", "gpfs", "afs", "beegfs", "fuse."))
    return kind if is_remote else None
