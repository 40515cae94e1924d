"""The entries of a stage's manifest: what a part covers, its files, their digests; each is checked against its name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from overthink.storage.keys import content_key
from overthink.storage.record_files import EXACT, read_record, write_record
from overthink.storage.schemas import SCHEMAS
from overthink.storage.storage_errors import StorageError


@dataclass(frozen=True)
class Extent:
    """What a part covers: samples `first` (inclusive) to `last` (exclusive) of each unit (a problem's key)."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    units: tuple[str, ...]
    first: int
    last: int

    @cached_property  # a hash of all units, asked for again and again
    def name(self) -> str:
        """The part's name; the same work has the same name."""
        return f"{self.first:06d}-{self.last:06d}-{content_key(list(self.units))[:12]}"


@dataclass(frozen=True)
class PartFile:
    """One table's file of a part."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    table: str
    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """The manifest's record of one part. `sources` are the sha256 of the files it was computed from."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    extent: Annotated[Extent, Field(alias="cover")]  # the key that version 0.1 wrote
    files: tuple[PartFile, ...]
    sources: tuple[str, ...] = field(default=())

    def write(self, folder: Path) -> Path:
        """Write the entry into a manifest's folder, under the name of what it covers; returns its path."""
        path = folder / f"{self.extent.name}.json"
        write_record(path, _ENTRY.dump_python(self, mode="json", by_alias=True))
        return path

    @staticmethod
    def read(path: Path) -> "Entry":
        """Parse a manifest entry. Raises StorageError where it is not one, or its file is named after another part."""
        entry = read_record(path, _ENTRY, "a manifest entry")
        name = entry.extent.name
        if name != path.stem:
            raise StorageError(
                f"{path} describes part {name}, as {name}.json should: delete this file, or give it back its name; "
                "then run the recipe again, which makes what is missing"
            )
        tables = [file.table for file in entry.files]
        named = [f"{name}.{table}.parquet" for table in tables if table in SCHEMAS]
        if not entry.files or len(set(tables)) < len(tables) or named != [file.name for file in entry.files]:
            raise StorageError(
                f"{path} does not name the files of its part: restore it from a copy, or delete it and run the recipe "
                "again"
            )
        return entry


_ENTRY = TypeAdapter(Entry)


class Manifest:
    """The entries of a stage at one moment, and which of them hold a unit."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries

    def holding(self, units: Iterable[str] | None) -> list[Entry]:
        """The entries that hold any of some units, in their order; None: all of them."""
        if units is None:
            return list(self.entries)
        places = sorted({place for unit in units for place in self._places.get(unit, ())})
        return [self.entries[place] for place in places]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, entry in enumerate(self.entries):
            for unit in entry.extent.units:
                places.setdefault(unit, []).append(place)
        return places


def require_disjoint(folder: Path, entries: Iterable[Entry]) -> None:
    """Raise StorageError where two entries of a manifest hold the same sample of a unit, which would count twice."""
    every = list(entries)
    if _are_disjoint(every):
        return
    held: dict[str, list[tuple[int, int, str]]] = {}
    for entry in every:
        for unit in entry.extent.units:
            held.setdefault(unit, []).append((entry.extent.first, entry.extent.last, entry.extent.name))
    for unit, ranges in held.items():
        ranges.sort()
        for (_, end, one), (begin, _, other) in pairwise(ranges):
            if begin < end:
                raise StorageError(
                    f"{folder / one}.json and {other}.json both hold sample {begin} of problem {unit}: delete one of "
                    "them, then run the recipe again, which makes what is missing"
                )


def _are_disjoint(entries: Iterable[Entry]) -> bool:
    """Whether no unit is held twice by parts with common samples; few ranges of samples have many parts each."""
    held: dict[tuple[int, int], set[str]] = {}
    for extent in (entry.extent for entry in entries):
        alike = [units for (begin, end), units in held.items() if begin < extent.last and extent.first < end]
        new = set(extent.units)
        if len(new) < len(extent.units) or not all(units.isdisjoint(new) for units in alike):
            return False
        held.setdefault((extent.first, extent.last), set()).update(new)
    return True


def gaps_of(entries: Iterable[Entry], units: Sequence[str], samples: int) -> dict[str, list[tuple[int, int]]]:
    """For each unit, the ranges of samples in 0..`samples` that no entry holds."""
    held: dict[str, list[tuple[int, int]]] = {unit: [] for unit in units}
    for entry in entries:
        for unit in entry.extent.units:
            if unit in held:
                held[unit].append((entry.extent.first, entry.extent.last))
    return {unit: _gaps(ranges, samples) for unit, ranges in held.items()}


def _gaps(ranges: Iterable[tuple[int, int]], samples: int) -> list[tuple[int, int]]:
    """The parts of 0..`samples` that no range holds."""
    gaps, reached = [], 0
    for first, last in sorted(ranges):
        if reached < min(first, samples):
            gaps.append((reached, min(first, samples)))
        reached = max(reached, last)
    return [*gaps, (reached, samples)] if reached < samples else gaps
