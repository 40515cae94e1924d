"""A stage's journals: one for each shard in progress, so that several processes can write at the same time."""

from collections.abc import Collection, Mapping
from pathlib import Path

from overthink.storage.journal import Journal

ANY_SAMPLE = 2**63 - 1
OF_WHOLE_STAGES = "journal.sqlite"  # up to version 0.1 a stage had one journal


class Journals:
    """The journals below a stage's folder."""

    def __init__(self, stage_folder: Path) -> None:
        self._stage_folder = stage_folder
        self._folder = stage_folder / "journals"

    def open(self, shard: str) -> Journal:
        """The journal of a shard, by the shard's name. The caller holds the shard's lease: one connection at a time."""
        return Journal(self._path(shard))

    def drop(self, shard: str) -> None:
        """Remove the journal of a complete shard: a crash may have left calls that parts already hold."""
        Journal.remove(self._path(shard))

    def paths(self) -> list[Path]:
        """The existing journals."""
        return [*self._stage_folder.glob(OF_WHOLE_STAGES), *sorted(self._folder.glob("*.sqlite"))]

    def count(self) -> int | None:
        """How many answered calls there are; None where another process is writing some of them."""
        counts = [Journal.count(path) for path in self.paths()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def settle(self, units: Collection[str], lacking: Mapping[str, Collection[str]]) -> None:
        """Move all calls of `units` into the journals of the shards that lack them, and drop calls that parts hold.

        `lacking` maps each such shard's name to its units. Calls are in another shard's journal where a killed run is
        resumed with other problems or another shard size. The caller holds the stage's lock.
        """
        for path in self.paths():
            if path.parent == self._folder and path.stem in lacking:
                continue
            journal = Journal(path)
            found = journal.problem_keys().intersection(units)
            for shard, members in lacking.items():
                self._move(journal, found.intersection(members), shard)
                found.difference_update(members)
            journal.forget([call.call_key for call in journal.calls(found, 0, ANY_SAMPLE)])
            journal.close()

    def _move(self, source: Journal, units: Collection[str], shard: str) -> None:
        if not units:
            return
        calls = list(source.calls(units, 0, ANY_SAMPLE))
        target = Journal(self._path(shard))
        known = target.known()  # copied by a move that was killed before it deleted the source
        target.append([call for call in calls if call.call_key not in known])
        target.close()
        source.forget([call.call_key for call in calls])

    def _path(self, shard: str) -> Path:
        return self._folder / f"{shard}.sqlite"
