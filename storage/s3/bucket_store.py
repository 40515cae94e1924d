"""A store in a bucket: an ordinary store in a working folder, whose writes are sent to the bucket, manifests last.

A part counts once its entry is in the bucket. The first entry wins: an entry is created only where there is none, and
other machines adopt the part of the first. An entry is removed together with a part that no longer matches it.
Journals and logs stay in the folder. Locks and leases are in the bucket, and in the folder too for the processes that
share it.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from overthink.storage.bucket_stage import BucketStage
from overthink.storage.model_record import read_model_record, write_model_record
from overthink.storage.s3.bucket import Bucket
from overthink.storage.s3.bucket_locks import BucketLocks
from overthink.storage.s3.mirror import Mirror, MirroredFile
from overthink.storage.s3.sent_reports import SentReports
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import BucketUnreachable, StoreBusy, WrittenElsewhere
from overthink.storage.store import Run, Store, Sweep

logger = logging.getLogger(__name__)

UNSENT_HERE = b""
Changes = dict[str, bytes | None]  # by key: a record's bytes in the bucket, None where it was removed, or UNSENT_HERE


class BucketStore(Store):
    """Everything at one address of a bucket, and the folder that mirrors it."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        super().__init__(root)
        self._mirror = Mirror(bucket, root)
        self._locks = BucketLocks(bucket, root)
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
        return BucketStage(self.root / "stages" / key, self._mirror, self._locks)

    def refresh(self, folder: str = "") -> None:
        """Fetch what other machines wrote to the bucket, and send what this one has not sent yet.

        Skips what another process of this machine is writing, and does not send to a stage that anybody is writing.
        """
        for owner, changes in self._changes(folder).items():
            try:
                with self._lock(owner, any(map(self._mirror.is_unsent, changes))):
                    self._settle_all(changes)
            except StoreBusy:
                continue

    def _changes(self, folder: str) -> dict[str, Changes]:
        """What differs from the bucket, by run or stage; stages before runs."""
        lacking, removed = self._mirror.look(folder)
        found: Changes = dict(self._mirror.read_records(lacking)) | dict.fromkeys(removed)
        unsent = [self._mirror.key(path) for path in self._mirror.unsent()]
        found |= dict.fromkeys((key for key in unsent if key.startswith(folder)), UNSENT_HERE)
        changes: dict[str, Changes] = defaultdict(dict)
        for key, change in found.items():
            changes["/".join(key.split("/")[:2])][key] = change
        return dict(sorted(changes.items(), reverse=True))

    @contextmanager
    def _lock(self, owner: str, sends: bool) -> Iterator[None]:
        """Lock a run or a stage in the folder; in the bucket too where a part is to be sent to a stage."""
        kind, _, name = owner.partition("/")
        if kind == "runs":
            with super().lock_run(name):
                yield
            return
        stage = self.stage(name)
        among_all = self._locks.only(_stage_lock(stage), f"stage {name}", waits=False) if sends else nullcontext()
        with among_all, super().lock_stage(stage):
            yield

    def _settle_all(self, changes: Changes) -> None:
        """Fetch, send or remove records under their lock; what another process has sent meanwhile is left as it is."""
        for key, change in changes.items():
            path = self.root / key
            if self._mirror.is_unsent(key):
                self._send(path)
            elif change is None:
                path.unlink(missing_ok=True)
            elif change == UNSENT_HERE:
                continue
            elif path.parent.name == "manifest":
                self.stage(path.parents[1].name).take_over(path, change)
            else:
                self._mirror.keep_record(key, change)

    def _catch_up(self, folder: str) -> None:
        """As `refresh`, for a run or a stage that is locked already."""
        for changes in self._changes(f"{folder}/").values():
            self._settle_all(changes)

    # Locks

    @contextmanager
    def lock_run(self, run_id: str) -> Iterator[None]:
        """Lock a run as its only writer among all machines. Raises StoreBusy where another process writes it."""
        with self._locks.only(_lock_of(run_id), f"run {run_id}"), super().lock_run(run_id):
            self._catch_up(f"runs/{run_id}")
            yield

    @contextmanager
    def share_run(self, run_id: str, begin: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Share the writing of a run with processes of all machines. Raises StoreBusy where it is not shared."""
        among_all = self._locks.shared(_lock_of(run_id), f"run {run_id}", run_id)
        with among_all as hold, super().share_run(run_id, lambda: None) as left_here:
            self._catch_up(f"runs/{run_id}")
            if hold.is_first:
                begin()
            self._locks.open(hold)
            yield lambda: left_here() and self._locks.others_left(hold)

    @contextmanager
    def ending_run(self, run_id: str) -> Iterator[None]:
        """Lock the end of a shared run. Raises StoreBusy where another process is ending it."""
        what = f"the end of run {run_id}"
        with super().ending_run(run_id), self._locks.lease(f"runs/{run_id}/ending", what):
            self._catch_up(f"runs/{run_id}")
            yield

    def is_being_written(self, run_id: str) -> bool:
        """Whether any process seems to write a run, on this machine or on another."""
        return super().is_being_written(run_id) or self._locks.seems_held(_lock_of(run_id))

    def reports(self, run_id: str) -> SentReports:
        """What the processes of all machines say that make a run or a sweep."""
        return SentReports(self.run_folder(run_id) / "live", self._mirror.bucket, f"runs/{run_id}/live")

    @contextmanager
    def share_stage(self, stage: Stage, work: str, prepare: Callable[[], object]) -> Iterator[Callable[[], bool]]:
        """Write a stage with processes of all machines that do the same `work`. Raises StoreBusy.

        The first of each machine prepares it, for the journals there; only the first of all sets damaged parts aside.
        """

        def prepare_here() -> None:
            self._catch_up(f"stages/{stage.key}")
            prepare()

        among_all = self._locks.shared(_stage_lock(stage), f"stage {stage.key}", work)
        with among_all as hold, super().share_stage(stage, work, prepare_here) as left_here:
            self._locks.open(hold)
            yield lambda: left_here() and self._locks.others_left(hold)

    @contextmanager
    def lock_stage(self, stage: Stage) -> Iterator[None]:
        """Lock a stage as its only writer among all machines. Raises StoreBusy where another writes it."""
        with self._locks.only(_stage_lock(stage), f"stage {stage.key}"), super().lock_stage(stage):
            self._catch_up(f"stages/{stage.key}")
            yield

    # Records

    def _send(self, path: Path) -> None:
        """Send a record that was marked, if it was written before its process ended."""
        if not path.exists():
            self._mirror.unmark(path)
        elif path.parent.name == "manifest":
            self.stage(path.parents[1].name).send_or_drop(path)
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


def _lock_of(run_id: str) -> str:
    return f"runs/{run_id}/lock"


def _stage_lock(stage: Stage) -> str:
    return f"locks/{stage.key}"
