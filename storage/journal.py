"""The journal of answered engine calls: each is on disk before anything acts on it, and is replayed on resume.

SQLite in WAL mode with full synchronisation, one connection, used from one thread at a time. The connection locks the
file exclusively: otherwise WAL needs memory shared by all who open the file, and two machines share none.
A full commit costs as much for one call as for hundreds, so callers commit in batches.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from overthink.storage.files import disk_errors, make_folder
from overthink.storage.keys import content_key
from overthink.storage.storage_errors import StorageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JournaledCall:
    """One answered call. `started_at` is in seconds since 1970; token counts are None where unknown."""

    call_key: str
    problem_key: str
    problem_id: str
    sample_index: int
    kind: str
    model: str
    reply: str
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    latency_ms: float
    started_at: float


COLUMNS = [field.name for field in fields(JournaledCall)]
CHECKSUM = "checksum"  # a digest of all other columns; null in journals of version 0.1
row_of = attrgetter(*COLUMNS)


def _checksum(row: Sequence[object]) -> str:
    """The digest of a call's columns. No column holds bytes, so what SQLite reads as bytes matches no digest."""
    return "" if any(isinstance(value, bytes) for value in row) else content_key(list(row))


class Journal:
    """The calls of one shard that are not yet in a part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            make_folder(path.parent)
        with self._failures():
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            # With row ids only the short keys are kept in order, not the rows: a third of the time.
            columns = ", ".join((*COLUMNS, CHECKSUM))
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS calls ({columns}, PRIMARY KEY (call_key))")
            if CHECKSUM not in {row[1] for row in self._connection.execute("PRAGMA table_info(calls)")}:
                self._connection.execute(f"ALTER TABLE calls ADD COLUMN {CHECKSUM}")
        self._drop_damaged()

    def _drop_damaged(self) -> None:
        """Drop calls whose digest differs; they are asked again, as damaged parts are made again."""
        with self._failures():
            rows = self._connection.execute(f"SELECT {', '.join(COLUMNS)}, {CHECKSUM} FROM calls")
            damaged = [row[0] for *row, checksum in rows if checksum not in (None, _checksum(row))]
        if damaged:
            logger.warning("%s: %d calls are not as they were answered; they are asked again", self.path, len(damaged))
            self.forget(damaged)

    def known(self) -> set[str]:
        """The keys of all journaled calls."""
        with self._failures():
            return {row[0] for row in self._connection.execute("SELECT call_key FROM calls")}

    def problem_keys(self) -> set[str]:
        """The keys of the problems that have calls here."""
        with self._failures():
            return {row[0] for row in self._connection.execute("SELECT DISTINCT problem_key FROM calls")}

    def reply(self, call_key: str) -> str | None:
        """The reply of a call, or None where it was never answered."""
        with self._failures():
            row = self._connection.execute("SELECT reply FROM calls WHERE call_key = ?", [call_key]).fetchone()
        return None if row is None else str(row[0])

    def append(self, calls: Sequence[JournaledCall]) -> None:
        """Commit answered calls, durably, all or none. Raises StorageError for a call that is already there."""
        names, marks = ", ".join((*COLUMNS, CHECKSUM)), ", ".join("?" * (len(COLUMNS) + 1))
        rows = ((*row, _checksum(row)) for row in map(row_of, calls))
        with self._transaction():
            self._connection.executemany(f"INSERT INTO calls ({names}) VALUES ({marks})", rows)

    def calls(self, problem_keys: Iterable[str], first: int, last: int) -> Iterator[JournaledCall]:
        """The calls for samples `first` (inclusive) to `last` (exclusive) of some problems, in a fixed order."""
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM calls WHERE problem_key = ? AND sample_index >= ? AND sample_index < ? "
            "ORDER BY sample_index, kind, call_key"
        )
        with self._failures():
            self._connection.execute("CREATE INDEX IF NOT EXISTS by_problem ON calls (problem_key)")
            for problem_key in problem_keys:
                for row in self._connection.execute(query, [problem_key, first, last]):
                    yield JournaledCall(*row)

    def forget(self, call_keys: Iterable[str]) -> None:
        """Drop calls that a part now holds."""
        with self._transaction():
            self._connection.executemany("DELETE FROM calls WHERE call_key = ?", [(key,) for key in call_keys])

    def close(self) -> None:
        """Close the connection; an empty journal leaves no file behind."""
        with self._failures():
            empty = self._connection.execute("SELECT 1 FROM calls LIMIT 1").fetchone() is None
            self._connection.close()
        if empty:
            self.remove(self.path)

    @staticmethod
    def count(path: Path) -> int | None:
        """How many calls a journal has; None where it cannot be read now, mostly because a process writes it."""
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                # A process that was killed while it made the journal leaves one without its table.
                is_made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone()
                return int(connection.execute("SELECT count(*) FROM calls").fetchone()[0]) if is_made else 0
        except sqlite3.DatabaseError:
            return None

    @staticmethod
    def remove(path: Path) -> None:
        """Delete a closed journal and the files that SQLite keeps beside it."""
        for each in Journal.files(path):
            with disk_errors(path):
                each.unlink(missing_ok=True)

    @staticmethod
    def files(path: Path) -> list[Path]:
        """The existing files of a journal; those that SQLite keeps beside it come last."""
        every = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
        return [each for each in every if each.exists()]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._failures():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise StorageError(f"{self.path}: a call was answered twice ({error}); this is a bug") from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StorageError(
                    f"the journal {self.path} is damaged ({error}): delete it and run the same command again, which "
                    "repeats the calls that it held"
                ) from error
            remedy = "free space or mend the disk, then run the same command again; committed calls are safe"
            raise StorageError(f"cannot use the journal {self.path}: {error}; {remedy}") from error
