"""SQL over a store: the public tables as views in one locked DuckDB connection.

Only files that a manifest names are visible. The connection reads those files and nothing else: no other files, no
network, no extensions, no writes, bounded memory and time.
"""

import json
import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from storage.errors import QueryError
from storage.schemas import SCHEMAS
from storage.store import Run, Store
from storage.views import SUM_OF, VIEWS

MEMORY_LIMIT = "2GB"
TIME_LIMIT_SECONDS = 60.0
_WORD = re.compile(r"\w+")

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
    ]
)


@contextmanager
def connect(store: Store, tables: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection on which the tables of the data contract are views; of those stored, `tables` have rows."""
    if not store.exists():
        raise QueryError(
            f"there is no store at {store.address}: name one with --store, or make it with `overthink run`"
        )
    # Without a temporary directory a query that outgrows its memory ends with an error instead of filling the disk.
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=limits)
    try:
        _create_views(connection, store, tables)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        yield connection
    finally:
        connection.close()


def query(store: Store, sql: str, time_limit: float = TIME_LIMIT_SECONDS) -> pa.Table:
    """Answer one SELECT. Raises QueryError, with one line, for anything else."""
    with connect(store, _tables_of(sql)) as connection:
        _require_one_select(connection, sql)
        timer = threading.Timer(time_limit, connection.interrupt)
        timer.start()
        try:
            return connection.sql(sql).to_arrow_table()
        except duckdb.InterruptException as error:
            raise QueryError(f"the query ran longer than {time_limit:g} s and was stopped: narrow it") from error
        except duckdb.Error as error:
            raise QueryError(_one_line(str(error))) from error
        finally:
            timer.cancel()


def _require_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    try:
        sql.encode()
        statements = connection.extract_statements(sql)
    except UnicodeEncodeError as error:
        raise QueryError("the query is not valid Unicode text") from error
    except duckdb.Error as error:
        raise QueryError(_one_line(str(error))) from error
    if len(statements) != 1:
        raise QueryError(f"one SELECT at a time, please: this is {len(statements)} statements")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"the store is read only here: SELECT is allowed, {kind.name} is not")


def _one_line(message: str) -> str:
    return " ".join(message.split("\n\n", 1)[0].split())


def _tables_of(sql: str) -> set[str]:
    """The stored tables that a query may read, by the words in it: those behind every view that it names."""
    words = set(_WORD.findall(sql.lower()))
    if words & {"query", "query_table"}:  # functions that take a name, or put one together
        return set(SCHEMAS)
    reached: set[str] = set()
    while words - reached:
        reached |= words
        words = {word for name in words & VIEWS.keys() for word in _WORD.findall(VIEWS[name])}
    problems = {"problems"} if "run_problems" in reached else set()
    return problems | {table for table in SCHEMAS if f"parts_{table}" in reached}


def _create_views(connection: duckdb.DuckDBPyConnection, store: Store, tables: Collection[str]) -> None:
    store.bring(tables)
    runs = store.runs()
    files: dict[str, list[Path]] = {table: [] for table in SCHEMAS}
    for stage in store.stages():
        for entry in stage.entries():
            for part_file in entry.files:
                if part_file.table in tables:
                    files[part_file.table].append(stage.parts_folder / part_file.name)
    _create_table(connection, "stored_runs", _runs_table(runs))
    _create_table(connection, "stage_uses", _uses_table(runs))
    every_file = [str(path.resolve()) for paths in files.values() for path in paths]
    connection.execute("SET allowed_paths = ?", [every_file])
    for setting in ("enable_external_access", "autoinstall_known_extensions", "autoload_known_extensions"):
        connection.execute(f"SET {setting} = false")
    for table, paths in files.items():
        _create_parts_view(connection, table, paths)
    connection.execute(
        "CREATE VIEW run_problems AS SELECT DISTINCT u.run_id, p.problem_key FROM parts_problems p "
        "JOIN stage_uses u ON u.kind = 'problems' AND u.stage_key = p.stage_key"
    )
    connection.execute(SUM_OF)
    for name, definition in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {definition}")
    connection.execute("SET lock_configuration = true")


def _create_parts_view(connection: duckdb.DuckDBPyConnection, table: str, paths: list[Path]) -> None:
    name = f"parts_{table}"
    if not paths:
        empty = SCHEMAS[table].append(pa.field("stage_key", pa.string())).empty_table()
        _create_table(connection, name, empty)
        return
    lost = [path for path in paths if not path.exists()]
    if lost:
        raise QueryError(f"{lost[0]} is missing: run its recipe again, which makes it anew")
    quoted = ", ".join("'" + str(path.resolve()).replace("'", "''") + "'" for path in paths)
    try:
        connection.execute(_parts_view(name, quoted))
    except duckdb.Error as error:
        raise QueryError(f"{_one_line(str(error))}; run its recipe again, which makes the part anew") from error


def _parts_view(name: str, quoted: str) -> str:
    return (
        f"CREATE VIEW {name} AS SELECT * EXCLUDE (filename), parse_path(filename)[-3] AS stage_key "
        f"FROM read_parquet([{quoted}], filename = true, union_by_name = true, hive_partitioning = false)"
    )


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
            "kind": use.kind,
            "stage_key": use.key,
            "n": use.n,
            "gpus": use.gpus,
        }
        for run in runs
        for use in run.stages
    ]
    return pa.Table.from_pylist(rows, schema=_USE_COLUMNS)
