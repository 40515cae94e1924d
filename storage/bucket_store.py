"""A store in a bucket: an ordinary store in a working folder, whose writes are sent on, manifests last.

A part counts once its entry is in the bucket. The first entry there counts: one is only made where there is none, and
the part of a machine that was first is taken over by others. Entries are removed together with parts that no longer
matched. Journals, locks and logs stay in the folder.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.bucket import Bucket
from storage.errors import BucketUnreachable, StorageError, StoreBusy, WrittenElsewhere
from storage.files import read_json, sha256_of, write_json
from storage.mirror import Mirror, MirroredFile
from storage.schemas import SCHEMAS
from storage.stages import Cover, Entry, PartFile, Stage
from storage.store import Run, Store, Sweep

logger = logging.getLogger(__name__)


class BucketStage(Stage):
    """One stage of a store in a bucket."""

    def __init__(self, folder: Path, mirror: Mirror) -> None:
        super().__init__(folder)
        self._mirror = mirror

    def describe(self, identity: Mapping[str, Any]) -> None:
        """Leave what determines this stage beside its parts, and in the bucket."""
        path = self.folder / "stage.json"
        if not path.exists():
            with suppress(WrittenElsewhere), self._mirror.recorded(path):  # by any machine, it says the same
                super().describe(identity)

    def write_part(self, cover: Cover, tables: Mapping[str, pa.Table], sources: Sequence[str] = ()) -> Entry:
        """Write one part, send its files, then its entry; returns the entry that counts.

        Raises StorageError as a folder does, and BucketUnreachable: then the part is safe here, and is sent when the
        store is next opened.
        """
        path = self._entry_path(cover.name)
        self._mirror.mark(path)
        super().write_part(cover, tables, sources)
        self.send(path)
        return Entry.read(path)

    def send(self, path: Path) -> None:
        """Send a part and then its entry; where the bucket has another by now, that one takes its place here."""
        mirror, entry = self._mirror, Entry.read(path)
        theirs = mirror.bucket.read(mirror.key(path)) or self._send_first(path, entry)
        if theirs is not None and theirs != path.read_bytes():
            logger.warning("%s: %s was made on another machine too, which was first", self.key, path.stem)
            self.take_over(path, theirs)
        mirror.unmark(path)

    def take_over(self, path: Path, content: bytes) -> None:
        """Have an entry of the bucket here, in place of another of that name and of the files that it named."""
        if path.exists():
            for part_file in Entry.read(path).files:
                (self.parts_folder / part_file.name).unlink(missing_ok=True)
        self._mirror.keep_record(self._mirror.key(path), content)

    def _send_first(self, path: Path, entry: Entry) -> bytes | None:
        """Send a part and then its entry; returns the entry of a machine that was first after all."""
        if (reason := super().damage(entry)) is not None:
            super()._set_aside(entry, reason)
            return None
        for part_file in entry.files:
            self._mirror.send(self._mirrored(part_file))
        return self._mirror.offer(path)

    def files(self, table: str, units: Iterable[str] | None = None) -> list[Path]:
        """The files of one table, as in a folder, fetched if need be. Raises where one cannot be had."""
        self._mirror.bring(self.lacking({table}, units))
        return super().files(table, units)

    def lacking(self, tables: Collection[str], units: Iterable[str] | None = None) -> list[MirroredFile]:
        """The files of some tables, or those that hold any of `units`, that are not in the folder."""
        named = map(self._mirrored, self._part_files(tables, units))
        return [file for file in named if not file.path.exists()]

    def damage(self, entry: Entry) -> str | None:
        """What is wrong with a part, or None; a copy in the folder that is not as it was written is fetched anew."""
        if self._is_unsent(entry):
            return super().damage(entry)
        files = [self._mirrored(part_file) for part_file in entry.files]
        if not all(file.path.exists() for file in files):
            self._mirror.fetch_all(self.lacking(SCHEMAS))  # of all parts together, not one part after the other
        reasons = self._mirror.fetch_all(files) or filter(None, map(self._mirror.damage_there, files))
        return next(iter(reasons), None)

    def damage_at_rest(self, entry: Entry) -> str | None:
        """The same of the bytes that the bucket has, whatever copies there are here."""
        reasons = (self._mirror.damage_at_rest(self._mirrored(part_file)) for part_file in entry.files)
        return super().damage(entry) if self._is_unsent(entry) else next(filter(None, reasons), None)

    def verify(self, living_sources: frozenset[str] | None = None) -> None:
        """Check every part, as in a folder; objects that are lost or torn are sent again where there is a copy here."""
        for entry in self.entries():
            if not self._is_unsent(entry):
                for part_file in entry.files:
                    self._mend(self._mirrored(part_file))
        super().verify(living_sources)

    def _mend(self, file: MirroredFile) -> None:
        reason = self._mirror.damage_there(file)
        if reason is not None and file.damage is None:
            logger.warning("%s: %s; it is sent again", self.key, reason)
            self._mirror.send(file)

    def _set_aside(self, entry: Entry, reason: str) -> None:
        if not self._is_unsent(entry):
            mirror = self._mirror
            mirror.bucket.remove(mirror.key(self._entry_path(entry.cover.name)))
            for key in map(mirror.object_key, map(self._mirrored, entry.files)):
                if mirror.bucket.find(key) is not None:
                    mirror.bucket.move(key, f"{mirror.key(self.set_aside_folder)}/{Path(key).name}")
        super()._set_aside(entry, reason)

    def _mirrored(self, part_file: PartFile) -> MirroredFile:
        return MirroredFile(self.parts_folder / part_file.name, part_file.size, part_file.sha256)

    def orphans(self) -> list[Path]:
        """Objects that no entry names, as paths of the folder."""
        named = {self._mirror.object_key(self._mirrored(part_file)) for part_file in self._part_files(SCHEMAS)}
        return [self._mirror.root / key for key in self._mirror.under(self.parts_folder) if key not in named]

    def _entry_path(self, name: str) -> Path:
        return self.manifest_folder / f"{name}.json"

    def _is_unsent(self, entry: Entry) -> bool:
        return self._mirror.is_unsent(self._mirror.key(self._entry_path(entry.cover.name)))


class BucketStore(Store):
    """Everything at one address of a bucket, and the folder that mirrors it."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        super().__init__(root)
        self._mirror = Mirror(bucket, root)
        self.refresh()

    @property
    def address(self) -> str:
        """What `--store` names it by."""
        return str(self._mirror.bucket.address)

    def exists(self) -> bool:
        """Whether anything was ever stored there."""
        return any(True for _ in self._mirror.records())

    def stage(self, key: str) -> BucketStage:
        """The stage at a content address, made or not."""
        return BucketStage(self.root / "stages" / key, self._mirror)

    def refresh(self, folder: str = "") -> None:
        """Take over what the bucket has learnt elsewhere, and send what it was to get from here.

        What another process of this machine is writing is left to it.
        """
        lacking, removed = self._mirror.look(folder)
        contents = self._mirror.read_records(lacking)
        unsent = [path for path in self._mirror.unsent() if self._mirror.key(path).startswith(folder)]
        changes: dict[str, list[str]] = defaultdict(list)
        for key in (*contents, *removed, *map(self._mirror.key, unsent)):
            changes["/".join(key.split("/")[:2])].append(key)
        for owner, keys in sorted(changes.items(), reverse=True):  # stages before runs
            try:
                with self._lock(owner):
                    for key in keys:
                        self._settle(key, contents.get(key), key in removed)
            except StoreBusy:
                continue

    def _lock(self, owner: str) -> AbstractContextManager[None]:
        kind, _, name = owner.partition("/")
        return self.lock_run(name) if kind == "runs" else self.lock_stage(self.stage(name))

    def _settle(self, key: str, content: bytes | None, was_removed: bool) -> None:
        """Deal with one record under its lock; what another process has sent meanwhile needs nothing."""
        path = self.root / key
        if self._mirror.is_unsent(key):
            self._send(path)
        elif was_removed:
            path.unlink(missing_ok=True)
        elif content is not None and path.parent.name == "manifest":
            self.stage(path.parents[1].name).take_over(path, content)
        elif content is not None:
            self._mirror.keep_record(key, content)

    def _send(self, path: Path) -> None:
        """Send a record that was marked, if the process that marked it lived to write it."""
        if not path.exists():
            self._mirror.unmark(path)
        elif path.parent.name == "manifest":
            self.stage(path.parents[1].name).send(path)
        else:
            try:
                (self._send_model if path.name == "model.json" else self._mirror.send_record)(path)
            except WrittenElsewhere as error:
                logger.warning("%s", error)

    def write_run(self, run: Run) -> None:
        """Write a run's manifest, here and in the bucket. Raises WrittenElsewhere where another machine did meanwhile.

        That it failed may be here alone: it may have failed because the bucket cannot be reached.
        """
        path = self.run_folder(run.run_id) / "run.json"
        try:
            with self._mirror.recorded(path):
                super().write_run(run)
        except (BucketUnreachable, WrittenElsewhere) as error:
            if run.status != "failed":
                raise
            logger.warning("that run %s failed is not in the bucket: %s", run.run_id, error)

    def write_sweep(self, sweep: Sweep) -> None:
        """Write down which runs a sweep is made of, here and in the bucket."""
        path = self.run_folder(sweep.sweep_id) / "sweep.json"
        with self._mirror.recorded(path):
            super().write_sweep(sweep)

    def bring(self, tables: Collection[str]) -> None:
        """Have the files of some tables in the folder. Raises StorageError naming one that cannot be had."""
        self._mirror.bring([file for stage in self.stages() for file in self.stage(stage.key).lacking(tables)])

    # Models

    def has_model(self, run_id: str) -> bool:
        """Whether the model that a run trained is here or in the bucket."""
        return self._model_record(run_id).exists() or super().has_model(run_id)

    def model(self, run_id: str) -> Path:
        """The folder of the model that a run trained, fetched if need be."""
        if self._model_record(run_id).exists():
            self._mirror.bring(self._model_files(run_id))
        return super().model(run_id)

    def keep_model(self, run_id: str) -> None:
        """Send the model that a run trained: its files, then the record that names them."""
        record, folder = self._model_record(run_id), self.model_folder(run_id)
        if not record.exists():
            self._mirror.mark(record)
            write_json(
                record,
                [
                    {"name": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": sha256_of(path)}
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                ],
            )
            self._send(record)

    def _send_model(self, record: Path) -> None:
        files = self._model_files(record.parent.name)
        if any(file.damage for file in files):
            record.unlink()  # the run is not complete yet, and sends what there is then
            self._mirror.unmark(record)
            return
        for file in files:
            self._mirror.send(file)
        self._mirror.send_record(record)

    def model_damage(self, run_id: str) -> str | None:
        """What is wrong with a model in the bucket, or None."""
        if not self._model_record(run_id).exists():
            return "is not in the bucket"
        reasons = filter(None, map(self._mirror.damage_at_rest, self._model_files(run_id)))
        return next((f"is not whole: {reason}" for reason in reasons), None)

    def _model_record(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "model.json"

    def _model_files(self, run_id: str) -> list[MirroredFile]:
        record, folder = self._model_record(run_id), self.model_folder(run_id)
        try:
            return [MirroredFile(folder / file["name"], file["size"], file["sha256"]) for file in read_json(record)]
        except (KeyError, TypeError) as error:
            raise StorageError(f"{record} is not the list of a model's files ({error}): delete it") from error

    # Garbage

    def holds(self, path: Path) -> bool:
        """Whether something is here or in the bucket."""
        return super().holds(path) or bool(self._mirror.under(path))

    def size_of(self, path: Path) -> int:
        """The bytes that something takes in the bucket or, where it is not there, here."""
        return sum(found.size for found in self._mirror.under(path).values()) or super().size_of(path)

    def forget(self, path: Path) -> None:
        """Remove something from the bucket, entries before the parts that they name."""
        self._mirror.remove(path)
