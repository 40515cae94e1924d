"""The public tables of a store, or of some of its runs, as views in a DuckDB connection, which is locked then.

Only files that a manifest names are visible, through a file system that cannot write (`storage/part_files.py`).
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from overthink.storage.left_out import left_out
from overthink.storage.part_files import SCHEME, PartFiles
from overthink.storage.schemas import SCHEMAS
from overthink.storage.sql_statements import one_line
from overthink.storage.stage_kinds import StageKind, may_hold
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import Run, Store
from overthink.storage.views import SUM_OF, VIEWS

SHUT = (
    "enable_external_access",
    "python_enable_replacements",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
)
INTERNAL = "parts_.*|stored_runs|run_problems"  # what the public tables are made of
_WORD = re.compile(r"\w+")
_COMMENT = re.compile("--.*")
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


def stored_tables(names: set[str]) -> set[str]:
    """The stored tables behind some tables and views."""
    reached: set[str] = set()
    while names - reached:
        reached |= names
        names = {word for name in names & VIEWS.keys() for word in _WORD.findall(_COMMENT.sub("", VIEWS[name]))}
    problems = {"problems"} if "run_problems" in reached else set()
    return problems | {table for table in SCHEMAS if f"parts_{table}" in reached}


def show_tables(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    runs: Sequence[Run],
    tables: Collection[str],
    say: Say | None = None,
    keys: Collection[str] | None = None,
) -> None:
    """Make the public tables of some runs, of which only the stored `tables` have rows; then lock the connection.

    The rows are those of all stages, or of those with `keys`. `say` is called with one line where a complete run lacks
    rows of these tables. Raises QueryError where a part is missing.
    """
    store.bring(tables, keys)
    standing = store.as_it_stands()
    _create_views(connection, runs, {table: _parts(standing, table, keys) for table in tables})
    note = None if say is None else left_out(standing, runs, tables)
    if say is not None and note is not None:
        say(note)
    connection.execute("BEGIN TRANSACTION READ ONLY")


def _create_views(
    connection: duckdb.DuckDBPyConnection, runs: Sequence[Run], parts: Mapping[str, Mapping[str, Path]]
) -> None:
    _create_table(connection, "stored_runs", _runs_table(runs))
    _create_table(connection, "stage_uses", _uses_table(runs))
    # An empty part with all columns of its table, because stored parts may lack some.
    empty = {f"{SCHEME}none/{table}.parquet": _no_rows(table) for table in SCHEMAS}
    every: dict[str, Path | bytes] = dict(empty)
    for of_table in parts.values():
        every |= of_table
    connection.register_filesystem(PartFiles(every))
    connection.execute("SET allowed_paths = ?", [list(every)])
    for setting in SHUT:
        connection.execute(f"SET {setting} = false")
    for table, name in zip(SCHEMAS, empty, strict=True):
        _create_parts_view(connection, table, [name])
    connection.execute(
        "CREATE VIEW run_problems AS SELECT DISTINCT u.run_id, p.problem_key FROM parts_problems p "
        f"JOIN stage_uses u ON u.kind = '{StageKind.PROBLEMS}' AND u.stage_key = p.stage_key"
    )
    connection.execute(SUM_OF)
    for name, definition in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {definition}")
    # Only now the stored parts: DuckDB opens all files of a view each time that another one is made on it.
    for table, of_table in parts.items():
        if of_table:
            _create_parts_view(connection, table, [f"{SCHEME}none/{table}.parquet", *of_table])
    connection.execute("SET lock_configuration = true")


def _parts(store: Store, table: str, keys: Collection[str] | None) -> dict[str, Path]:
    """The files of one table that a manifest names, by the names that DuckDB sees."""
    parts = {
        f"{SCHEME}{stage.key}/{file.name}": (stage.parts_folder / file.name).resolve()
        for stage in store.stages()
        if (keys is None or stage.key in keys) and may_hold(stage.key, table)
        for entry in store.entries(stage.key)
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


def _create_parts_view(connection: duckdb.DuckDBPyConnection, table: str, names: Iterable[str]) -> None:
    """Make the view of the rows in some files, with today's columns."""
    columns = ", ".join(f'"{name}"' for name in SCHEMAS[table].names)
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    try:
        connection.execute(
            f"CREATE OR REPLACE VIEW parts_{table} AS SELECT {columns}, parse_path(filename)[-2] AS stage_key "
            f"FROM read_parquet([{quoted}], filename = true, union_by_name = true, hive_partitioning = false)"
        )
    except duckdb.Error as error:
        raise QueryError(f"{one_line(str(error))}; run its recipe again, which rebuilds the part") from error


def _create_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("incoming", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")
    connection.unregister("incoming")


def _runs_table(runs: Sequence[Run]) -> pa.Table:
    rows = [
        {
            **{name: getattr(run, name) for name in _RUN_COLUMNS.names if name not in ("recipe", "versions")},
            "recipe": json.dumps(run.recipe),
            "versions": json.dumps(run.versions),
        }
        for run in runs
    ]
    return pa.Table.from_pylist(rows, schema=_RUN_COLUMNS)


def _uses_table(runs: Sequence[Run]) -> pa.Table:
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
