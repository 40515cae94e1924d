"""SQL over a store: the public tables as views in one locked DuckDB connection.

Only files that a manifest names are visible. A statement that does more than read is refused before anything is opened
(`storage/sql_statements.py`), and the connection could not do more either: no files of the disk, no network, no
extensions, parts only through a file system that cannot write (`storage/part_files.py`), bounded memory and time.
"""

import re
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TypeVar

import duckdb
import pyarrow as pa

from overthink.storage.public_tables import INTERNAL, Say, show_tables, stored_tables
from overthink.storage.query_limits import QueryLimits
from overthink.storage.sql_statements import one_line, tables_read
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import Run, Store

BATCH_ROWS = 2048
OWN_MEMORY = 2**30  # bytes that DuckDB may hold for a query of ours, whatever the store's size; the rest is on disk
OUT_OF_MEMORY = "Out of Memory: the query needs more than its limit (--memory): narrow it, or allow more"
NOT_IN_ARROW = frozenset(
    {"bignum", "bit", "geometry", "interval", "time with time zone", "uhugeint", "union", "variant"}
)
Made = TypeVar("Made")
_LISTING = re.compile(r"\s*(SHOW\s+(?:ALL\s+)?TABLES)\s*;?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerRows:
    """An answer while it is computed: its columns, with distinct names, and its rows in batches."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def query(
    store: Store, sql: str, limits: QueryLimits | None = None, say: Say | None = None, run: Run | None = None
) -> pa.Table:
    """Answer one SELECT, over the stages of one `run` or over all; without `limits`, as reports ask: see `stream`.

    Raises QueryError, with one line, for anything else, and for more than `limits.answer` bytes.
    `say` is called with one line where the store lacks rows that belong to the answer.
    """
    most = (limits or QueryLimits()).answer
    with stream(store, sql, limits, say, run) as rows:
        size, batches = 0, []
        for batch in rows.batches:
            size += batch.nbytes
            if size > most:
                raise QueryError(f"the answer has more than {most / 1e9:.3g} GB: ask for fewer rows or columns")
            batches.append(batch)
        return pa.Table.from_batches(batches, rows.schema)


@contextmanager
def stream(
    store: Store, sql: str, limits: QueryLimits | None = None, say: Say | None = None, run: Run | None = None
) -> Iterator[AnswerRows]:
    """Answer one SELECT in batches of at most BATCH_ROWS rows, so that an answer of any size can be written to a file.

    The time limit bounds DuckDB's time, not the reader's. Without `limits` it may take any time and OWN_MEMORY; what
    needs more goes to a temporary folder. Raises QueryError as `query` does.
    """
    with ExitStack() as stack:
        spill = stack.enter_context(TemporaryDirectory(prefix="overthink-sql-")) if limits is None else ""
        limits = limits or QueryLimits(memory=min(OWN_MEMORY, QueryLimits().memory), seconds=None)
        connection = stack.enter_context(connected(store, limits, spill))
        waiting = stack.enter_context(Waiting(connection, limits.seconds))
        runs, keys = (store.runs(), None) if run is None else ([run], {use.key for use in run.stages})
        show_tables(connection, store, runs, stored_tables(tables_read(connection, sql)), say, keys)
        yield rows_of(connection, _of_public_tables(sql), waiting)


def _of_public_tables(sql: str) -> str:
    """The statement; one that lists all tables without those that the public ones are made of."""
    listing = _LISTING.fullmatch(sql)
    return sql if listing is None else f"SELECT * FROM ({listing[1]}) WHERE NOT regexp_full_match(name, '{INTERNAL}')"


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str, waiting: "Waiting") -> AnswerRows:
    """The rows that a query of a connection answers, while they are computed. Raises QueryError."""
    relation = waiting.wait(lambda: connection.sql(sql))
    reader = waiting.wait(lambda: _in_arrow(relation).to_arrow_reader(BATCH_ROWS))
    names = _distinct(relation.columns)
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
    following = iter(lambda: waiting.wait(lambda: next(reader, None)), None)
    return AnswerRows(schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in following))


class Waiting:
    """Runs DuckDB in its own thread, so that the waiting thread receives signals and enforces the time limit.

    `time_limit` is in seconds, None: none.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, time_limit: float | None) -> None:
        self._connection, self._limit, self._taken = connection, time_limit, 0.0
        self._thread = ThreadPoolExecutor(1, "sql")

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def wait(self, work: Callable[[], Made]) -> Made:
        """What `work` returns. A signal or the time limit interrupts `work`, and it has ended when this returns."""
        began, doing = monotonic(), self._thread.submit(work)
        try:
            return doing.result(None if self._limit is None else max(0.0, self._limit - self._taken))
        except TimeoutError as error:
            raise QueryError(
                f"the query ran longer than {self._limit:g} s and was stopped: narrow it, or allow more"
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise QueryError(OUT_OF_MEMORY) from error
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise QueryError(one_line(str(error))) from error
        finally:
            while not doing.done():  # DuckDB ignores an interrupt that comes before the query has begun
                self._connection.interrupt()
                futures.wait([doing], timeout=0.01)
            self._taken += monotonic() - began


@contextmanager
def connected(store: Store, limits: QueryLimits, spill: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection without tables. Where it has no folder to `spill` into, what exceeds its memory fails."""
    if not store.exists():
        raise QueryError(
            f"there is no store at {store.address}: name one with --store, or make it with `overthink run`"
        )
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": limits.threads,
        "memory_limit": f"{limits.memory}B",
        "temp_directory": spill,
    }
    connection = duckdb.connect(":memory:", config=settings)
    try:
        yield connection
    finally:
        connection.close()


def _in_arrow(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The same rows; columns whose DuckDB type Arrow lacks or represents differently become text."""
    odd = [column.id in NOT_IN_ARROW for column in relation.types]
    columns = (f"#{place}::VARCHAR" if as_text else f"#{place}" for place, as_text in enumerate(odd, 1))
    return relation.project(", ".join(columns)) if any(odd) else relation


def _distinct(names: list[str]) -> list[str]:
    """Distinct column names: the second `x` becomes `x_1`, so that a row can be a mapping in every format."""
    taken: list[str] = []
    for name in names:
        others = (f"{name}_{count}" for count in range(1, len(names) + 1))
        taken.append(name if name not in taken else next(one for one in others if one not in (*names, *taken)))
    return taken
