"""A stage of a store in a bucket: its parts and entries are written in the working folder, then sent, entries last.

What is made under a lease or a lock is committed by the session that holds it, so that it counts only while it is held.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from overthink.storage.leases import ShardLease
from overthink.storage.manifest import Entry, Extent, PartFile, require_disjoint
from overthink.storage.s3.bucket_locks import BucketLocks
from overthink.storage.s3.bucket_settings import lease_seconds
from overthink.storage.s3.mirror import Mirror, MirroredFile
from overthink.storage.s3.sent_journals import SentJournals
from overthink.storage.s3.session import Session
from overthink.storage.s3.session_watch import LOOKS
from overthink.storage.schemas import SCHEMAS
from overthink.storage.stages import Shard, Stage
from overthink.storage.storage_errors import LeaseLost, StorageError, StoreBusy, WrittenElsewhere

logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 1.0  # between two looks at a shard that another machine works on


class BucketStage(Stage):
    """One stage of a store in a bucket."""

    def __init__(self, folder: Path, mirror: Mirror, locks: BucketLocks) -> None:
        super().__init__(folder)
        self._mirror = mirror
        self._locks = locks
        self._sessions: dict[str, Session] = {}  # by shard and by unit: those under which shards are held
        self._busy_until: dict[str, float] = {}  # by shard: until when another machine is not asked again
        self.journals = SentJournals(folder, mirror.bucket, mirror.key(folder), self._sessions.get)

    @property
    def lock_key(self) -> str:
        """The key of the stage's lock."""
        return f"locks/{self.key}"

    @contextmanager
    def lease(self, shard: Shard) -> Iterator[None]:
        """Hold a shard exclusively among all machines. Raises StoreBusy where another process does."""
        if time.monotonic() < self._busy_until.get(shard.name, 0.0):
            raise StoreBusy(f"shard {shard.name} of stage {self.key} was being written a moment ago")
        key = self._mirror.key(self.lease_folder / shard.name)
        with super().lease(shard):
            try:
                with self._locks.lease(key, f"shard {shard.name} of stage {self.key}") as session:
                    self._sessions |= dict.fromkeys((shard.name, *shard.units), session)
                    yield
            except StoreBusy:
                pause = min(LONGEST_PAUSE_SECONDS, lease_seconds() / LOOKS)
                self._busy_until[shard.name] = time.monotonic() + pause
                raise
            finally:
                for name in (shard.name, *shard.units):
                    self._sessions.pop(name, None)

    def leases(self) -> list[ShardLease]:
        """The shards that processes of all machines work on now."""
        return self._locks.leases(self._mirror.key(self.lease_folder))

    def holds(self, extent: Extent) -> bool:
        """Whether the manifest in the bucket has an entry for exactly this work; it is fetched where it does."""
        path = self._entry_path(extent.name)
        if self._mirror.is_unsent(self._mirror.key(path)):
            self.send(path)
        elif not path.exists() and (theirs := self._mirror.bucket.read(self._mirror.key(path))) is not None:
            self.take_over(path, theirs)
        return path.exists()

    def _session_of(self, extent: Extent) -> Session | None:
        """The session by which a part is committed; None for a caller that holds nothing."""
        hold = self._locks.hold_of(self.lock_key)
        return self._sessions.get(extent.units[0]) or (None if hold is None else hold.session)

    def describe(self, identity: Mapping[str, Any]) -> None:
        """Write this stage's identity into `stage.json`, here and in the bucket."""
        path = self.folder / "stage.json"
        if not path.exists():
            with suppress(WrittenElsewhere), self._mirror.recorded(path):  # the content is the same
                super().describe(identity)

    def entries(self) -> list[Entry]:
        """The manifest, as in a folder."""
        with self._mirror.told():
            return super().entries()

    def write_part(self, extent: Extent, tables: Mapping[str, pa.Table], sources: Sequence[str] = ()) -> Entry:
        """Write one part, send its files, then its entry; returns the entry that counts.

        Raises StorageError as a folder does, and BucketUnreachable: then the part is safe here, and is sent when the
        store is next opened. Raises LeaseLost where another process may have taken it over: then nothing was written.
        """
        session = self._session_of(extent)
        if session is not None:
            session.check()
        path = self._entry_path(extent.name)
        self._mirror.mark(path)
        super().write_part(extent, tables, sources)
        self.send(path)
        return Entry.read(path)

    def send(self, path: Path) -> None:
        """Send a part, then its entry; another machine's entry that is in the bucket already replaces it here."""
        mirror, entry = self._mirror, Entry.read(path)
        theirs = mirror.bucket.read(mirror.key(path)) or self._send_first(path, entry)
        if theirs is not None and theirs != path.read_bytes():
            logger.warning("%s: %s another machine wrote this part first; its version is used", self.key, path.stem)
            self.take_over(path, theirs)
        mirror.unmark(path)

    def send_or_drop(self, path: Path) -> None:
        """Deal with a part that an earlier life left unsent; the caller holds the stage's lock.

        It is dropped where others write this stage, or have made some of its samples: the journal still has its calls.
        """
        hold = self._locks.hold_of(self.lock_key)
        if hold is not None and hold.is_first and not self._overlaps():
            self.send(path)
        else:
            self._drop(path)

    def _overlaps(self) -> bool:
        try:
            require_disjoint(self.manifest_folder, map(Entry.read, sorted(self.manifest_folder.glob("*.json"))))
        except StorageError:
            return True
        return False

    def take_over(self, path: Path, content: bytes) -> None:
        """Write an entry from the bucket here; it replaces an entry of the same name and that entry's files."""
        self._remove_files(path)
        self._mirror.keep_record(self._mirror.key(path), content)

    def _drop(self, path: Path) -> None:
        logger.warning("%s: %s was never sent, and is made again", self.key, path.stem)
        self._remove_files(path)
        path.unlink(missing_ok=True)
        self._mirror.unmark(path)

    def _remove_files(self, path: Path) -> None:
        if path.exists():
            with suppress(StorageError):  # a damaged entry names no files that can be trusted
                for part_file in Entry.read(path).files:
                    (self.parts_folder / part_file.name).unlink(missing_ok=True)

    def _send_first(self, path: Path, entry: Entry) -> bytes | None:
        """Send a part and then its entry; returns the entry of another machine where that one was first."""
        if (reason := super().damage(entry)) is not None:
            super()._set_aside(entry, reason)
            return None
        for part_file in entry.files:
            self._mirror.send(self._mirrored(part_file))
        session = self._session_of(entry.extent)
        try:
            with session.committing(self._mirror.key(path), path.read_bytes()) if session else nullcontext():
                return self._mirror.offer(path)
        except LeaseLost:
            self._drop(path)
            raise

    def files(self, table: str, units: Iterable[str] | None = None) -> list[Path]:
        """The files of one table, as in a folder, fetched where necessary. Raises where a file cannot be fetched."""
        self._mirror.bring(self.lacking({table}, units))
        return super().files(table, units)

    def lacking(self, tables: Collection[str], units: Iterable[str] | None = None) -> list[MirroredFile]:
        """The files of some tables, or those that hold any of `units`, that are not in the folder."""
        named = map(self._mirrored, self._part_files(tables, units))
        return [file for file in named if not file.path.exists()]

    def damage(self, entry: Entry) -> str | None:
        """What is wrong with a part, or None; a damaged copy in the folder is fetched again."""
        if self._is_unsent(entry):
            return super().damage(entry)
        files = [self._mirrored(part_file) for part_file in entry.files]
        if not all(file.path.exists() for file in files):
            self._mirror.fetch_all(self.lacking(SCHEMAS))  # all parts at once, not part by part
        reasons = self._mirror.fetch_all(files) or filter(None, map(self._mirror.damage_there, files))
        return next(iter(reasons), None)

    def damage_at_rest(self, entry: Entry) -> str | None:
        """What is wrong with a part's bytes in the bucket, regardless of the copies here; None where they are right."""
        reasons = (self._mirror.damage_at_rest(self._mirrored(part_file)) for part_file in entry.files)
        return super().damage(entry) if self._is_unsent(entry) else next(filter(None, reasons), None)

    def verify(self, living_sources: frozenset[str] | None = None) -> None:
        """Check every part, as in a folder; lost or torn objects are sent again from the copy here, if any."""
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
        hold = self._locks.hold_of(self.lock_key)
        if hold is not None and not hold.is_first:
            raise StorageError(
                f"{self.key}: {reason}, and other machines are writing this stage: stop them, then run the same "
                "command again, which makes the part again"
            )
        if not self._is_unsent(entry):
            mirror = self._mirror
            mirror.bucket.remove(mirror.key(self._entry_path(entry.extent.name)))
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
        return self._mirror.is_unsent(self._mirror.key(self._entry_path(entry.extent.name)))
