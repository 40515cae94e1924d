"""SQL over a store: the public tables as views in one locked DuckDB connection.

Only files that a manifest names are visible. A statement that does more than read is refused before anything is opened
(`storage/sql_statements.py`), and the connection could not do more either: no files of the disk, no network, no
extensions, parts only through a file system that cannot write (`storage/part_files.py`), bounded memory and time.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from overthink.storage.left_out import left_out
from overthink.storage.manifests import Manifests
from overthink.storage.part_files import SCHEME, PartFiles
from overthink.storage.schemas import SCHEMAS
from overthink.storage.sql_statements import one_line, tables_read
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import Run, Store
from overthink.storage.views import SUM_OF, VIEWS

MEMORY_LIMIT = "2GB"
RESULT_LIMIT = 2_000_000_000
TIME_LIMIT_SECONDS = 60.0
BATCH_ROWS = 2048
NOT_IN_ARROW = frozenset(
    {"bignum", "bit", "geometry", "interval", "time with time zone", "uhugeint", "union", "variant"}
)
SHUT = (
    "enable_external_access",
    "python_enable_replacements",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile("--.*")
Made = TypeVar("Made")
Say = Callable[[str], object]

_RUN_COLUMNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("name", pa.string()),
        ("recipe", pa.string()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("created_at", pa.string()),
        ("finished_at", pa.string()),
        ("versions", pa.string()),
        ("problem_set", pa.string()),
        ("policy", pa.string()),
        ("policy_parameters", pa.int64()),
        ("prm", pa.string()),
        ("prm_parameters", pa.int64()),
    ]
)
_USE_COLUMNS = pa.schema(
    [
        ("run_id", pa.string()),
        ("method_id", pa.string()),
        ("kind", pa.string()),
        ("stage_key", pa.string()),
        ("n", pa.int32()),
        ("gpus", pa.int32()),
        ("inputs", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class AnswerRows:
    """An answer while it is computed: its columns, with distinct names, and its rows in batches."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def query(store: Store, sql: str, time_limit: float = TIME_LIMIT_SECONDS, say: Say | None = None) -> pa.Table:
    """Answer one SELECT. Raises QueryError, with one line, for anything else, and for more than RESULT_LIMIT bytes.

    `say` is called with one line where the store lacks rows that belong to the answer.
    """
    with stream(store, sql, time_limit, say) as rows:
        size, batches = 0, []
        for batch in rows.batches:
            size += batch.nbytes
            if size > RESULT_LIMIT:
                raise QueryError(f"the answer has more than {RESULT_LIMIT / 1e9:g} GB: ask for fewer rows or columns")
            batches.append(batch)
        return pa.Table.from_batches(batches, rows.schema)


@contextmanager
def stream(
    store: Store, sql: str, time_limit: float = TIME_LIMIT_SECONDS, say: Say | None = None
) -> Iterator[AnswerRows]:
    """Answer one SELECT in batches of at most BATCH_ROWS rows, so that an answer of any size can be written to a file.

    `time_limit` bounds DuckDB's time in seconds, not the reader's. Raises QueryError as `query` does.
    """
    with _connect(store, sql, say) as connection, _Asked(connection, time_limit) as asked:
        relation = asked.wait(lambda: connection.sql(sql))
        reader = asked.wait(lambda: _in_arrow(relation).to_arrow_reader(BATCH_ROWS))
        names = _distinct(relation.columns)
        schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])
        following = iter(lambda: asked.wait(lambda: next(reader, None)), None)
        yield AnswerRows(schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in following))


class _Asked:
    """Runs DuckDB in its own thread, so that the waiting thread receives signals and enforces the time limit."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, time_limit: float) -> None:
        self._connection, self._limit, self._taken = connection, time_limit, 0.0
        self._thread = ThreadPoolExecutor(1, "sql")

    def __enter__(self) -> "_Asked":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def wait(self, work: Callable[[], Made]) -> Made:
        """What `work` returns. A signal or the time limit interrupts `work`, and it has ended when this returns."""
        began, doing = monotonic(), self._thread.submit(work)
        try:
            return doing.result(max(0.0, self._limit - self._taken))
        except TimeoutError as error:
            raise QueryError(f"the query ran longer than {self._limit:g} s and was stopped: narrow it") from error
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise QueryError(one_line(str(error))) from error
        finally:
            while not doing.done():  # DuckDB ignores an interrupt that comes before the query has begun
                self._connection.interrupt()
                futures.wait([doing], timeout=0.01)
            self._taken += monotonic() - began


@contextmanager
def _connect(store: Store, sql: str, say: Say | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection with the public tables as views; only the tables that `sql` reads are filled."""
    if not store.exists():
        raise QueryError(
            f"there is no store at {store.address}: name one with --store, or make it with `overthink run`"
        )
    # Without a temporary directory a query that exceeds its memory fails instead of filling the disk.
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=limits)
    try:
        tables = _stored(tables_read(connection, sql))
        store.bring(tables)
        runs, manifests = store.runs(), Manifests(store)
        _create_views(connection, manifests, runs, tables)
        note = None if say is None else left_out(manifests, runs, tables)
        if say is not None and note is not None:
            say(note)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        yield connection
    finally:
        connection.close()


def _stored(names: set[str]) -> set[str]:
    """The stored tables behind some tables and views."""
    reached: set[str] = set()
    while names - reached:
        reached |= names
        names = {word for name in names & VIEWS.keys() for word in _WORD.findall(_COMMENT.sub("", VIEWS[name]))}
    problems = {"problems"} if "run_problems" in reached else set()
    return problems | {table for table in SCHEMAS if f"parts_{table}" in reached}


def _create_views(
    connection: duckdb.DuckDBPyConnection, manifests: Manifests, runs: list[Run], tables: Collection[str]
) -> None:
    _create_table(connection, "stored_runs", _runs_table(runs))
    _create_table(connection, "stage_uses", _uses_table(runs))
    parts = {table: _parts(manifests, table) if table in tables else {} for table in SCHEMAS}
    # First an empty part with all columns of the table, because stored parts may lack some.
    files: dict[str, dict[str, Path | bytes]] = {
        table: {f"{SCHEME}none/{table}.parquet": _no_rows(table), **paths} for table, paths in parts.items()
    }
    every = {name: file for of_table in files.values() for name, file in of_table.items()}
    connection.register_filesystem(PartFiles(every))
    connection.execute("SET allowed_paths = ?", [list(every)])
    for setting in SHUT:
        connection.execute(f"SET {setting} = false")
    for table, of_table in files.items():
        _create_parts_view(connection, f"parts_{table}", of_table)
    connection.execute(
        "CREATE VIEW run_problems AS SELECT DISTINCT u.run_id, p.problem_key FROM parts_problems p "
        f"JOIN stage_uses u ON u.kind = '{StageKind.PROBLEMS}' AND u.stage_key = p.stage_key"
    )
    connection.execute(SUM_OF)
    for name, definition in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {definition}")
    connection.execute("SET lock_configuration = true")


def _parts(manifests: Manifests, table: str) -> dict[str, Path]:
    """The files of one table that a manifest names, by the names that DuckDB sees."""
    parts = {
        f"{SCHEME}{stage.key}/{file.name}": (stage.parts_folder / file.name).resolve()
        for stage in manifests.store.stages()
        for entry in manifests.entries(stage.key)
        for file in entry.files
        if file.table == table
    }
    lost = [path for path in parts.values() if not path.exists()]
    if lost:
        raise QueryError(f"{lost[0]} is missing: run its recipe again, which rebuilds it")
    return parts


@cache
def _no_rows(table: str) -> bytes:
    part = BytesIO()
    pq.ParquetWriter(part, SCHEMAS[table]).close()
    return part.getvalue()


def _create_parts_view(connection: duckdb.DuckDBPyConnection, view: str, names: Iterable[str]) -> None:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    try:
        connection.execute(
            f"CREATE VIEW {view} AS SELECT * EXCLUDE (filename), parse_path(filename)[-2] AS stage_key "
            f"FROM read_parquet([{quoted}], filename = true, union_by_name = true, hive_partitioning = false)"
        )
    except duckdb.Error as error:
        raise QueryError(f"{one_line(str(error))}; run its recipe again, which rebuilds the part") from error


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


def _create_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("incoming", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def _runs_table(runs: list[Run]) -> pa.Table:
    rows = [
        {
            **{name: getattr(run, name) for name in _RUN_COLUMNS.names if name not in ("recipe", "versions")},
            "recipe": json.dumps(run.recipe),
            "versions": json.dumps(run.versions),
        }
        for run in runs
    ]
    return pa.Table.from_pylist(rows, schema=_RUN_COLUMNS)


def _uses_table(runs: list[Run]) -> pa.Table:
    rows = [
        {
            "run_id": run.run_id,
            "method_id": use.method_id,
            "kind": str(use.kind),
            "stage_key": use.key,
            "n": use.n,
            "gpus": use.gpus,
            "inputs": use.inputs,
        }
        for run in runs
        for use in run.stages
    ]
    return pa.Table.from_pylist(rows, schema=_USE_COLUMNS)
