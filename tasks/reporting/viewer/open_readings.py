"""SQL over some runs of a store for a reader who turns pages: several queries in one locked connection, kept open."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from overthink.storage.public_tables import show_tables
from overthink.storage.query_limits import QueryLimits
from overthink.storage.sql import Waiting, connected
from overthink.storage.store import Run, Store

Row = dict[str, Any]
# What the pages show, of the tables in storage/schemas.py.
TABLES = (
    *("problems", "rollouts", "steps", "scores", "critiques", "answers", "grades", "groups", "selections", "estimates"),
    *("nodes", "test_results"),
)
KEPT_OPEN = 4


class OpenReading:
    """The public tables of some runs, without the rows of other stages."""

    def __init__(self, store: Store, runs: Sequence[Run], tables: Sequence[str] = TABLES) -> None:
        limits = QueryLimits()
        with ExitStack() as opening:
            self._connection = opening.enter_context(connected(store, limits))
            # The limit of time is a query's, and this waits for many.
            self._limits, keys = limits, {use.key for run in runs for use in run.stages}
            show_tables(self._connection, store, runs, tables, keys=keys)
            self._closing = opening.pop_all()

    def rows(self, sql: str, **values: object) -> list[Row]:
        """The rows of one SELECT with `values` for its `$names`; all of them are held. Raises QueryError."""
        with Waiting(self._connection, self._limits.seconds) as waiting:
            cursor = waiting.wait(lambda: self._connection.execute(sql, values))
            names = [column[0] for column in cursor.description or ()]
            found = waiting.wait(cursor.fetchall)
        return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Close the connection."""
        self._closing.close()


class Readings:
    """Readings of one store, kept open from page to page for as long as their runs are finished and unchanged.

    One page at a time reads: the connection is one.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._open: list[tuple[tuple[Run, ...], OpenReading]] = []  # the latest last
        self._lock = Lock()

    @contextmanager
    def of(self, *runs: Run) -> Iterator[OpenReading]:
        """A reading of some runs; that of a run which is being written sees what is stored now."""
        with self._lock:
            reading = self._taken(runs) or OpenReading(self.store, runs)
            try:
                yield reading
            except BaseException:  # parts may be gone
                reading.close()
                raise
            self._keep(runs, reading)

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            while self._open:
                self._open.pop()[1].close()

    def _taken(self, runs: tuple[Run, ...]) -> OpenReading | None:
        place = next((place for place, (known, _) in enumerate(self._open) if known == runs), None)
        return None if place is None else self._open.pop(place)[1]

    def _keep(self, runs: tuple[Run, ...], reading: OpenReading) -> None:
        if any(run.status != "complete" for run in runs):
            reading.close()
            return
        self._open.append((runs, reading))
        if len(self._open) > KEPT_OPEN:
            self._open.pop(0)[1].close()
