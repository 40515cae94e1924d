"""Runs as files that need nothing of ours: one DuckDB file with all public tables, or one Parquet file a table."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from overthink.storage.export_places import check_file, check_folder
from overthink.storage.files import TEMPORARY_SUFFIX, disk_errors, make_folder, sync
from overthink.storage.parquet_rows import pieces, write_parquet
from overthink.storage.public_tables import Say, show_tables
from overthink.storage.query_limits import QueryLimits
from overthink.storage.schemas import SCHEMAS
from overthink.storage.sql import AnswerRows, Waiting, connected, rows_of
from overthink.storage.sql_statements import one_line
from overthink.storage.store import Run, Store
from overthink.storage.views import VIEWS

# A stage may hold more than a run takes of it: exported are the rows of rollouts that the runs use.
OF_ROLLOUTS = {"steps", "scores", "critiques", "signals", "test_results", "step_labels", "grades"}


@dataclass(frozen=True)
class Export:
    """Some runs of a store, and what reading them may take; `say` is told what complete runs lack."""

    store: Store
    runs: Sequence[Run]
    limits: QueryLimits
    say: Say

    def to_duckdb(self, path: Path, force: bool = False) -> Mapping[str, int]:
        """Write one DuckDB file with all public tables; returns their numbers of rows. It is there whole or not at all.

        Raises StorageError where something is there already, but with `force` an earlier export; for a place inside the
        store; and on a full or failing disk.
        """
        check_file(path, self.store.root, force)
        with _workplace(path) as folder:
            made = folder / "data.duckdb"
            with duckdb.connect(str(made), config={"memory_limit": f"{self.limits.memory // 2}B"}) as target:
                counts = {name: _insert(target, name, rows) for name, rows in self._tables(folder)}
                target.execute("CHECKPOINT")  # closing does it too, but says nothing where the disk is full
            sync(made)
            made.replace(path)
        return counts

    def to_parquet(self, path: Path, force: bool = False) -> Mapping[str, int]:
        """Write a folder with a Parquet file for each public table; as `to_duckdb` otherwise.

        With `force` a folder is replaced, but only one that holds nothing else than such files.
        """
        check_folder(path, self.store.root, force)
        with new_folder(path) as made:
            return self.write_tables(made)

    def write_tables(self, folder: Path, queries: Mapping[str, str] | None = None) -> Mapping[str, int]:
        """Write a Parquet file for each public table, or for the answer of each query, into a folder.

        Returns their numbers of rows. A query that needs more memory than there is spills into the folder above.
        """
        tables = self._tables(folder.parent, queries)
        return {name: write_parquet(rows, folder / f"{name}.parquet") for name, rows in tables}

    def _tables(self, spill: Path, queries: Mapping[str, str] | None = None) -> Iterator[tuple[str, AnswerRows]]:
        """All public tables, or what the queries ask, of the runs' rows, while they are computed."""
        keys = {use.key for run in self.runs for use in run.stages}
        limits = replace(self.limits, memory=self.limits.memory // 2, seconds=None)
        with connected(self.store, limits, str(spill / "spill")) as connection, Waiting(connection, None) as waiting:
            show_tables(connection, self.store, self.runs, tuple(SCHEMAS), self.say, keys)
            for name, sql in (queries or {name: rows_of_runs(name) for name in VIEWS}).items():
                yield name, rows_of(connection, sql, waiting)


def rows_of_runs(table: str) -> str:
    """The query of a public table's rows that belong to the runs that are exported."""
    return f"SELECT * FROM {table}" + (" SEMI JOIN rollouts USING (rollout_id)" if table in OF_ROLLOUTS else "")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which stands at `path` afterwards, in place of what was there: whole, or not at all.

    Raises StorageError with the remedy where writing fails.
    """
    with _workplace(path) as folder:
        made = folder / "made"
        made.mkdir()
        yield made
        for each in (*made.iterdir(), made):
            sync(each)
        if path.exists():
            path.replace(folder / "replaced")
        made.replace(path)


def _insert(target: duckdb.DuckDBPyConnection, name: str, rows: AnswerRows) -> int:
    """Write a table, piece by piece; returns the number of its rows."""
    count = 0
    for piece in pieces(rows):
        target.register("piece", piece)
        target.execute(f"INSERT INTO {name} FROM piece" if count else f"CREATE OR REPLACE TABLE {name} AS FROM piece")
        target.unregister("piece")
        count += piece.num_rows
    return count


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what becomes it. Raises StorageError with the remedy where writing fails."""
    with disk_errors(path):
        make_folder(path.parent)
        try:
            with TemporaryDirectory(TEMPORARY_SUFFIX, f".{path.name}.", path.parent) as folder:
                yield Path(folder)
        except duckdb.Error as error:
            full = "No space left on device" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, one_line(str(error))) from error
        sync(path.parent)
