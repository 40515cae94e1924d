"""A store in a bucket: an ordinary store in a working folder, whose writes are sent to the bucket, manifests last.

A part counts once its entry is in the bucket. The first entry wins: an entry is created only where there is none, and
other machines adopt the part of the first. An entry is removed together with a part that no longer matches it.
Journals, locks and logs stay in the folder.
"""

import logging
from collections import defaultdict
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from overthink.storage.bucket_stage import BucketStage
from overthink.storage.model_record import read_model_record, write_model_record
from overthink.storage.s3.bucket import Bucket
from overthink.storage.s3.mirror import Mirror, MirroredFile
from overthink.storage.storage_errors import BucketUnreachable, StoreBusy, WrittenElsewhere
from overthink.storage.store import Run, Store, Sweep

logger = logging.getLogger(__name__)


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
        """Fetch what other machines wrote to the bucket, and send what this one has not sent yet.

        Skips what another process of this machine is writing.
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
        """Fetch, send or remove one record under its lock; does nothing where another process has sent it meanwhile."""
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
        """Send a record that was marked, if it was written before its process ended."""
        if not path.exists():
            self._mirror.unmark(path)
        elif path.parent.name == "manifest":
            self.stage(path.parents[1].name).send(path)
        else:
            try:
                (self._send_model if path.name == "model.json" else self._mirror.send_record)(path)
            except WrittenElsewhere as error:
                logger.warning("%s", error)

    def runs(self) -> list[Run]:
        """All runs, as in a folder."""
        with self._mirror.told():
            return super().runs()

    def sweeps(self) -> list[Sweep]:
        """All sweeps, as in a folder."""
        with self._mirror.told():
            return super().sweeps()

    def write_run(self, run: Run) -> None:
        """Write a run's manifest, here and in the bucket. Raises WrittenElsewhere where another machine did meanwhile.

        The status "failed" may be written here alone: the bucket may be unreachable, which may be why the run failed.
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
        """Write the list of a sweep's runs, here and in the bucket."""
        path = self.run_folder(sweep.sweep_id) / "sweep.json"
        with self._mirror.recorded(path):
            super().write_sweep(sweep)

    def bring(self, tables: Collection[str], keys: Collection[str] | None = None) -> None:
        """Fetch the files of some tables into the folder. Raises StorageError naming one that cannot be fetched."""
        wanted = [stage.key for stage in self.stages() if keys is None or stage.key in keys]
        self._mirror.bring([file for key in wanted for file in self.stage(key).lacking(tables)])

    # Models

    def has_model(self, run_id: str) -> bool:
        """Whether the model that a run trained is here or in the bucket."""
        return self._model_record(run_id).exists() or super().has_model(run_id)

    def model(self, run_id: str) -> Path:
        """The folder of the model that a run trained, fetched where necessary."""
        if self._model_record(run_id).exists():
            self._mirror.bring(self._model_files(run_id))
        return super().model(run_id)

    def keep_model(self, run_id: str) -> None:
        """Send the model that a run trained: its files, then the record that names them."""
        record, folder = self._model_record(run_id), self.model_folder(run_id)
        if not record.exists():
            self._mirror.mark(record)
            write_model_record(record, folder)
            self._send(record)

    def _send_model(self, record: Path) -> None:
        files = self._model_files(record.parent.name)
        if any(file.damage for file in files):
            record.unlink()  # the run is not complete yet, and sends the model when it is
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
        with self._mirror.told():
            files = read_model_record(record)
        return [MirroredFile(folder / file.name, file.size, file.sha256) for file in files]

    def lost_runs(self) -> list[Path]:
        """None: they cannot be distinguished from runs that were removed on another machine."""
        return []

    # Garbage

    def holds(self, path: Path) -> bool:
        """Whether something is here or in the bucket."""
        return super().holds(path) or bool(self._mirror.under(path))

    def size_of(self, path: Path) -> int:
        """The size in bytes of something in the bucket or, where it is not there, here."""
        return sum(found.size for found in self._mirror.under(path).values()) or super().size_of(path)

    def forget(self, path: Path) -> None:
        """Remove something from the bucket, entries before the parts that they name."""
        self._mirror.remove(path)
