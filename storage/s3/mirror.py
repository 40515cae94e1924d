"""A local folder that mirrors a bucket: what it holds of the bucket, what it has not sent yet, and both transfers.

*Records* are the small JSON files that say what exists (manifests of runs, entries of stages): the folder has all of
them. Other files are fetched when they are first read, and checked on arrival. A record is marked as unsent before it
is written, so that after a kill at any moment the bucket has every unmarked record.

An object's key ends in part of the digest of its bytes, so no write can change what a record names.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

from overthink.storage.files import sha256_of, whole_file
from overthink.storage.s3.bucket import Bucket, StoredObject
from overthink.storage.storage_errors import ObjectDamaged, ObjectMissing, StorageError, WrittenElsewhere

logger = logging.getLogger(__name__)

UNSENT = "unsent"
AT_ONCE = 16
_RECORD = re.compile(r"runs/[^/]+/(run|sweep|model)\.json|stages/[^/]+/(stage|manifest/[^/]+)\.json")
_PATTERNS = ("runs/*/*.json", "stages/*/stage.json", "stages/*/manifest/*.json")


@dataclass(frozen=True)
class MirroredFile:
    """A file of the folder and the bytes that it should have, here and in the bucket."""

    path: Path
    size: int
    sha256: str

    @property
    def damage(self) -> str | None:
        """What is wrong with the copy here, or None."""
        if not self.path.exists():
            return f"{self.path.name} is missing"
        if self.path.stat().st_size != self.size:
            return f"{self.path.name} has {self.path.stat().st_size} bytes instead of {self.size}"
        return f"{self.path.name} has other bytes than were written" if sha256_of(self.path) != self.sha256 else None


class Mirror:
    """A folder and a bucket, and what the bucket held when it was last listed."""

    def __init__(self, bucket: Bucket, root: Path) -> None:
        self.bucket = bucket
        self.root = root
        self.listed: dict[str, StoredObject] = {}

    def key(self, path: Path) -> str:
        """The key of a record, or of a folder without its slash."""
        return path.relative_to(self.root).as_posix()

    def object_key(self, file: MirroredFile) -> str:
        """The key of a file's bytes. Raises StorageError for a record that names a file outside of the folder."""
        name = PurePosixPath(os.path.relpath(file.path, self.root))
        if name.parts[0] == "..":
            raise StorageError(f"a record of {self.bucket.address} names {file.path}, which is not in the store")
        return str(name.with_stem(f"{name.stem}-{file.sha256[:16]}"))

    # Records

    def look(self, folder: str = "") -> tuple[set[str], set[str]]:
        """List the bucket again; returns the keys of records to fetch, and of records that were removed there.

        The folder is listed first: a record that is sent while the bucket is being listed must not count as removed.
        """
        sent = {key for key in self.records(folder) if not self.is_unsent(key)}
        found = self.bucket.objects(folder)
        self.listed = {key: each for key, each in self.listed.items() if not key.startswith(folder)} | found
        there = {key for key in found if _RECORD.fullmatch(key)}
        return {key for key in there if self._is_older(key) and not self.is_unsent(key)}, sent - there

    def records(self, folder: str = "") -> Iterator[str]:
        """The keys of the records in the folder."""
        for path in (path for pattern in _PATTERNS for path in self.root.glob(pattern)):
            key = self.key(path)
            if key.startswith(folder) and _RECORD.fullmatch(key):
                yield key

    def _is_older(self, key: str) -> bool:
        """Whether the copy here is not the bucket's version; a copy has its object's modification time."""
        path, there = self.root / key, self.listed[key]
        if not path.exists():
            return True
        here = path.stat()
        return (here.st_size, int(here.st_mtime)) != (there.size, there.written_at)

    def read_records(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The records' bytes in the bucket, without those that were removed meanwhile."""

        wanted = sorted(keys)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            contents = pool.map(self.bucket.read, wanted)
            return {key: content for key, content in zip(wanted, contents, strict=True) if content is not None}

    def keep_record(self, key: str, content: bytes) -> None:
        """Write a record from the bucket into the folder."""
        path = self.root / key
        with whole_file(path, f".{uuid4().hex}") as temporary:
            temporary.write_bytes(content)
        self._date(path, self.listed.get(key))

    def _date(self, path: Path, found: StoredObject | None) -> None:
        if found is not None:
            os.utime(path, (found.written_at, found.written_at))

    def mark(self, path: Path) -> None:
        """Mark a record, durably, as unsent before it is written, and note which version it replaces."""
        versions = self._marked(path) | ({sha256_of(path)} if path.exists() else set())
        with whole_file(self.root / UNSENT / self.key(path)) as temporary:
            temporary.write_text("\n".join(sorted(versions)), encoding="ascii")

    def _marked(self, path: Path) -> set[str]:
        """The digests of the versions that a record has replaced since it was last sent."""
        mark = self.root / UNSENT / self.key(path)
        return set(mark.read_text(encoding="ascii").split()) if mark.exists() else set()

    def unmark(self, path: Path) -> None:
        """Remove the mark: the bucket has the record."""
        (self.root / UNSENT / self.key(path)).unlink(missing_ok=True)

    def is_unsent(self, key: str) -> bool:
        """Whether the bucket may lack a record."""
        return (self.root / UNSENT / key).exists()

    def unsent(self) -> list[Path]:
        """The paths in the folder of the records that the bucket may lack: stages before runs."""
        marks = self.root / UNSENT
        return sorted(
            (self.root / path.relative_to(marks) for path in marks.rglob("*.json")),
            key=lambda path: (self.key(path).startswith("runs/"), path),
        )

    @contextmanager
    def recorded(self, path: Path) -> Iterator[None]:
        """Mark a record before the block, which writes it, and send it afterwards."""
        self.mark(path)
        yield
        self.send_record(path)

    def send_record(self, path: Path) -> None:
        """Send a record; it replaces the version that it was derived from.

        Raises WrittenElsewhere where the bucket has a newer version: that one counts, and replaces the copy here.
        """
        theirs = self.offer(path)
        if theirs is not None:
            self.keep_record(self.key(path), theirs)
            self.unmark(path)
            raise WrittenElsewhere(
                f"another machine has written {self.bucket.address}/{self.key(path)} meanwhile, and its version "
                "counts: what was made here is kept; run the same command again once that machine is done"
            )

    def offer(self, path: Path) -> bytes | None:
        """Send a record if the bucket has none, or the version it replaces; else return another machine's version."""
        key, content, versions = self.key(path), path.read_bytes(), self._marked(path)
        there = self.bucket.version(key) if versions else None
        while there is None or hashlib.sha256(there[0]).hexdigest() in versions:
            if self.bucket.write(key, content, over=there and there[1]):
                break
            there = self.bucket.version(key)
        else:
            if there[0] != content:  # else the record arrived, but the answer was lost
                return there[0]
        self._date(path, self.bucket.find(key))
        self.unmark(path)
        return None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Add to an error about a record that the bucket holds it too: deleted only here, it would be fetched again."""
        try:
            yield
        except StorageError as error:
            raise StorageError(f"{error}; {self.bucket.address} holds this too, so do it there") from error

    # Files

    def send(self, file: MirroredFile) -> None:
        """Send a file's bytes."""
        key = self.object_key(file)
        self.bucket.upload(key, file.path)
        self.listed[key] = StoredObject(file.size, 0)

    def fetch(self, file: MirroredFile) -> None:
        """Fetch a file into the folder and check it. Raises ObjectMissing or ObjectDamaged."""
        if file.damage is None:
            return
        key = self.object_key(file)
        with whole_file(file.path, f".{uuid4().hex}") as temporary:
            self.bucket.download(key, temporary)
            if MirroredFile(temporary, file.size, file.sha256).damage is not None:
                raise ObjectDamaged(f"{self.bucket.address}/{key} has other bytes than were written")

    def fetch_all(self, files: Iterable[MirroredFile]) -> list[str]:
        """Fetch files into the folder, several at once; returns the errors of those that are missing or damaged."""

        def attempt(file: MirroredFile) -> str | None:
            try:
                self.fetch(file)
            except (ObjectMissing, ObjectDamaged) as error:
                return str(error)
            return None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [reason for reason in pool.map(attempt, files) if reason is not None]

    def bring(self, files: Iterable[MirroredFile]) -> None:
        """Fetch files into the folder. Raises StorageError naming the first that cannot be fetched."""
        for reason in self.fetch_all(files):
            raise StorageError(f"{reason}: run its recipe again, which rebuilds it")

    def damage_there(self, file: MirroredFile) -> str | None:
        """What is wrong with a file's object, judged by its size alone, or None."""
        key = self.object_key(file)
        if not self._has_size(self.listed.get(key), file):
            found = self.bucket.find(key)  # it may have been sent since the bucket was listed
            if not self._has_size(found, file):
                return f"{self.bucket.address}/{key} " + ("is missing" if found is None else "has another size")
        return None

    @staticmethod
    def _has_size(found: StoredObject | None, file: MirroredFile) -> bool:
        return found is not None and found.size == file.size

    def damage_at_rest(self, file: MirroredFile) -> str | None:
        """What is wrong with a file's object, judged by all of its bytes, or None."""
        key = self.object_key(file)
        reason = self.damage_there(file)
        if reason is None and self.bucket.sha256(key) != file.sha256:
            reason = f"{self.bucket.address}/{key} has other bytes than were written"
        return reason

    # Garbage

    def under(self, path: Path) -> dict[str, StoredObject]:
        """The objects at or under a path of the folder, from the last listing."""
        key = self.key(path)
        return {each: found for each, found in self.listed.items() if each == key or each.startswith(f"{key}/")}

    def remove(self, path: Path) -> None:
        """Remove the objects at or under a path: entries first, so that none names what is gone."""
        key, there = self.key(path), self.under(path)
        self.bucket.remove_folder(f"{key}/manifest")
        self.bucket.remove_folder(key)
        self.bucket.remove(key)
        self.listed = {each: found for each, found in self.listed.items() if each not in there}
