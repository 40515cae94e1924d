"""Where an export may be written: at a free place, or over what an earlier export wrote."""

import os
from collections.abc import Collection
from pathlib import Path

import duckdb

from overthink.storage.storage_errors import StorageError
from overthink.storage.views import VIEWS

_IN_EVERY_EXPORT = {"runs", "rollouts"}


def check_file(path: Path, store: Path, force: bool) -> None:
    """Raise StorageError where a DuckDB file may not be written: over a database of ours only with `force`."""
    _check_kind(path, store)
    ours = path.is_file() and _IN_EVERY_EXPORT <= _tables(path) <= set(VIEWS)
    if path.exists() and not (ours and force):
        raise _taken(path, ours)


def check_folder(path: Path, store: Path, force: bool, beside: Collection[str] = ()) -> None:
    """Raise StorageError where a folder may not be written: over one of nothing but tables only with `force`.

    `beside` are the names of the other files that such a folder holds, all of them.
    """
    _check_kind(path, store)
    there = {each.name for each in path.iterdir()} if path.is_dir() else set()
    tables = {f"{name}.parquet" for name in VIEWS}
    ours = not path.is_file() and set(beside) <= there <= tables | set(beside)
    if path.is_file() or (there and not (ours and force)):
        raise _taken(path, ours)


def _check_kind(path: Path, store: Path) -> None:
    """Raise StorageError for a place inside the store, and where a device, a pipe or a link is, which none replaces."""
    if path.resolve().is_relative_to(store.resolve()):
        raise StorageError(f"{path} is inside the store {store}: name a place outside of it")
    if os.path.lexists(path) and (path.is_symlink() or not (path.is_file() or path.is_dir())):
        raise StorageError(f"{path} is neither an ordinary file nor a folder: name another place")


def _tables(path: Path) -> set[str]:
    """The names of a database's tables and views; none of what DuckDB cannot read."""
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return {
                name for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
            }
    except duckdb.Error:
        return set()


def _taken(path: Path, ours: bool) -> StorageError:
    remedy = "name another place, or replace what an earlier export wrote with --force"
    return StorageError(f"{path} is there already: {remedy if ours else 'name another place'}")
