"""A stage's folder: parts that are whole or absent, and the manifest that says which of them exist.

stages/sample-1f2e…/stage.json                       what determines this stage's output
stages/sample-1f2e…/parts/<part>.<table>.parquet     the rows
stages/sample-1f2e…/manifest/<part>.json             written last: files, rows, size, sha256, what it covers
stages/sample-1f2e…/set-aside/                       parts whose bytes no longer matched
stages/sample-1f2e…/journals/<shard>.sqlite          answered calls of a shard in progress
stages/sample-1f2e…/leases/<shard>                   the process that works on the shard
"""

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from overthink.storage.files import TEMPORARY_SUFFIX, disk_errors, read_json, sha256_of, whole_file, write_json
from overthink.storage.journals import Journals
from overthink.storage.keys import content_key, labelled_key
from overthink.storage.leases import ShardLease
from overthink.storage.lock import holder_of, is_held, lease
from overthink.storage.manifest import Entry, Extent, Manifest, PartFile, gaps_of, require_disjoint
from overthink.storage.schemas import SCHEMAS, with_columns_of
from overthink.storage.storage_errors import StorageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """The problems that one task handles, and the samples they still lack."""

    units: tuple[str, ...]
    extents: tuple[Extent, ...]

    @property
    def name(self) -> str:
        """A name that depends only on the problems, not on what they lack."""
        return content_key(list(self.units))[:12]

    @property
    def lacking(self) -> frozenset[str]:
        """The problems that lack anything."""
        return frozenset(unit for extent in self.extents for unit in extent.units)


class Stage:
    """One content-addressed stage in a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name
        self.parts_folder = folder / "parts"
        self.manifest_folder = folder / "manifest"
        self.set_aside_folder = folder / "set-aside"
        self.lease_folder = folder / "leases"
        self.journals = Journals(folder)
        self._read_once: Manifest | None = None

    def describe(self, identity: Mapping[str, Any]) -> None:
        """Write this stage's identity into `stage.json`, for readers."""
        if not self.is_described:
            write_json(self.folder / "stage.json", identity)

    @property
    def is_described(self) -> bool:
        """Whether `stage.json` exists; it is written before any part."""
        return (self.folder / "stage.json").exists()

    def identity(self) -> dict[str, Any]:
        """What determines this stage. Raises StorageError where `stage.json` is missing or another stage's."""
        path = self.folder / "stage.json"
        identity = read_json(path)
        if not isinstance(identity, dict) or labelled_key(str(identity.get("stage")), identity) != self.key:
            raise StorageError(
                f"{path} describes another stage than {self.key}: if {self.key} is a copy, move it out of the store; "
                "else delete this file and run the recipe again, which writes it again"
            )
        return identity

    def entries(self) -> list[Entry]:
        """The manifest, in the order of part names.

        Raises StorageError naming the file and the remedy where an entry is damaged or not of this stage, where two
        entries hold the same samples, or where parts would be read through a symbolic link.
        """
        self._require_own_files((self.parts_folder, self.manifest_folder))
        if not self.manifest_folder.is_dir():
            return []
        if self.is_described:
            self.identity()
        entries = [Entry.read(path) for path in sorted(self.manifest_folder.glob("*.json"))]
        self._require_own_files(self.parts_folder / part_file.name for entry in entries for part_file in entry.files)
        require_disjoint(self.manifest_folder, entries)
        return entries

    def _require_own_files(self, paths: Iterable[Path]) -> None:
        """Raise StorageError for symbolic links: SQL finds a row's stage by its file's path, which a link hides."""
        for path in paths:
            if path.is_symlink():
                raise StorageError(
                    f"{path} is a symbolic link: put what it names in its place (a whole store may lie behind a link)"
                )

    def as_it_stands(self) -> Self:
        """This stage with its manifest read once, for who asks a finished stage for its files again and again.

        A reader of every shard would else read, shard by shard, the manifest of all of them.
        """
        standing = copy(self)
        standing._read_once = Manifest(self.entries())
        return standing

    def files(self, table: str, units: Iterable[str] | None = None) -> list[Path]:
        """The files of one table that exist by the manifest: all of them, or those that hold any of `units`."""
        return [self.parts_folder / part_file.name for part_file in self._part_files({table}, units)]

    def _part_files(self, tables: Collection[str], units: Iterable[str] | None = None) -> list[PartFile]:
        manifest = self._read_once or Manifest(self.entries())
        held = manifest.holding(units)
        return [part_file for entry in held for part_file in entry.files if part_file.table in tables]

    def table(self, name: str, units: Iterable[str] | None = None) -> pa.Table:
        """All rows of one table, or of the parts that hold any of `units`, with the columns of today's schema."""
        pieces = [pq.ParquetFile(path).read() for path in self.files(name, units)]
        return pa.concat_tables([SCHEMAS[name].empty_table(), *(with_columns_of(SCHEMAS[name], one) for one in pieces)])

    def digests(self, table: str, units: Iterable[str] | None = None) -> tuple[str, ...]:
        """The sha256 of the files of `table`: all of them, or those that hold any of `units`."""
        return tuple(sorted(part_file.sha256 for part_file in self._part_files({table}, units)))

    def missing(self, units: Sequence[str], samples: int, shard_size: int) -> list[Extent]:
        """The work still to do for `samples` samples of each unit, in shards of at most `shard_size` units."""
        return [extent for shard in self.shards(units, samples, shard_size) for extent in shard.extents]

    def shards(self, units: Sequence[str], samples: int, shard_size: int) -> list[Shard]:
        """The shards that lack something.

        Units are cut into shards by position alone, so all processes see the same shards at all times.
        """
        gaps = gaps_of(self.entries(), units, samples)
        shards = []
        for begin in range(0, len(units), shard_size):
            members = tuple(units[begin : begin + shard_size])
            lacking: dict[tuple[int, int], list[str]] = {}
            for unit in members:
                for gap in gaps[unit]:
                    lacking.setdefault(gap, []).append(unit)
            extents = tuple(Extent(tuple(lagging), first, last) for (first, last), lagging in sorted(lacking.items()))
            if extents:
                shards.append(Shard(members, extents))
        return shards

    def holds(self, extent: Extent) -> bool:
        """Whether the manifest has an entry for exactly this work."""
        return (self.manifest_folder / f"{extent.name}.json").exists()

    def lease(self, shard: Shard) -> AbstractContextManager[None]:
        """Hold a shard exclusively. Raises StoreBusy where another process does; a dead process holds no lease."""
        return lease(self.lease_folder / shard.name, f"shard {shard.name} of stage {self.key}")

    def leases(self) -> list[ShardLease]:
        """The shards that processes work on now. Writes nothing."""
        held = [path for path in sorted(self.lease_folder.glob("*")) if is_held(path)]
        return [ShardLease(path.name, holder_of(path), path.stat().st_mtime, None) for path in held]

    def write_part(self, extent: Extent, tables: Mapping[str, pa.Table], sources: Sequence[str] = ()) -> Entry:
        """Write the files of one part, then its manifest entry; returns the entry.

        Raises StorageError on a full or failing disk, and then leaves nothing that counts as done.
        """
        files = tuple(self._write_file(extent, name, table) for name, table in tables.items())
        entry = Entry(extent, files, tuple(sources))
        entry.write(self.manifest_folder)
        return entry

    def _write_file(self, extent: Extent, name: str, table: pa.Table) -> PartFile:
        path = self.parts_folder / f"{extent.name}.{name}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(table.cast(SCHEMAS[name]), temporary, compression="zstd")
        with disk_errors(path):
            return PartFile(name, path.name, table.num_rows, path.stat().st_size, sha256_of(path))

    def verify(self, living_sources: frozenset[str] | None = None) -> None:
        """Check every part against the manifest; set aside what no longer matches, with a warning.

        A part is also set aside where one of its sources is not in `living_sources` (None: sources are not checked).
        Files that no entry names (left by a crash) are removed. The caller holds the stage's lock.
        """
        for entry in self.entries():
            with disk_errors(self.folder):
                reason = self.damage(entry)
            if reason is None and living_sources is not None and not living_sources.issuperset(entry.sources):
                reason = "what it was computed from has been made again"
            if reason is not None:
                self._set_aside(entry, reason)
        self._sweep()

    def damage(self, entry: Entry) -> str | None:
        """What is wrong with a part's files, or None where every byte is as it was written."""
        for part_file in entry.files:
            path = self.parts_folder / part_file.name
            if not path.exists():
                return f"{part_file.name} is missing"
            if path.stat().st_size != part_file.size:
                return f"{part_file.name} has {path.stat().st_size} bytes instead of {part_file.size}"
            if sha256_of(path) != part_file.sha256:
                return f"{part_file.name} has other bytes than were written"
        return None

    def damage_at_rest(self, entry: Entry) -> str | None:
        """As `damage`, for the permanent copy: in a bucket's stage that is the object, here the same file."""
        return self.damage(entry)

    def _set_aside(self, entry: Entry, reason: str) -> None:
        logger.warning("%s: %s; this part is set aside and made again", self.key, reason)
        shelf = self.set_aside_folder
        with disk_errors(shelf):
            shelf.mkdir(exist_ok=True)
            # The entry is removed first: from then on the part does not exist, whenever a crash comes.
            os.replace(self.manifest_folder / f"{entry.extent.name}.json", shelf / f"{entry.extent.name}.json")
            for part_file in entry.files:
                if (self.parts_folder / part_file.name).exists():
                    os.replace(self.parts_folder / part_file.name, shelf / part_file.name)

    def leftovers(self) -> list[Path]:
        """Files left by a crash: temporary ones, leases, and parts without a manifest entry. Needs the stage's lock."""
        folders = (self.folder, self.parts_folder, self.manifest_folder)
        temporary = [path for folder in folders for path in sorted(folder.glob(f".*{TEMPORARY_SUFFIX}"))]
        temporary += sorted(self.lease_folder.glob("*"))
        known = {part_file.name for entry in self.entries() for part_file in entry.files}
        return temporary + [path for path in sorted(self.parts_folder.glob("*.parquet")) if path.name not in known]

    def orphans(self) -> list[Path]:
        """Objects outside the folder that no manifest entry names; a folder's stage has none."""
        return []

    def _sweep(self) -> None:
        with disk_errors(self.folder):
            for path in self.leftovers():
                if path.suffix == ".parquet":
                    logger.warning("%s: %s is in no manifest entry; removed", self.key, path.name)
                path.unlink()
