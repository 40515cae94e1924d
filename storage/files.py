"""Whole files or none: temporary name, flush, fsync, rename, fsync of the folder."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overthink.storage.storage_errors import StorageError

TEMPORARY_SUFFIX = ".partial"  # no reader's glob for *.parquet or *.json matches it


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn the operating system's write errors into a StorageError that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError(f"disk full while writing {place}: free space and run the same command again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(
                f"{place} cannot be used ({error.strerror}): let this user write there, or name another place"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            file = next((str(above) for above in reversed(place.parents) if above.is_file()), "a file")
            raise StorageError(f"{place} cannot be made, because {file} is a file: name another place") from error
        if error.errno == errno.ENOENT:
            raise StorageError(f"{place} cannot be made ({error.strerror}): check the path, or name another") from error
        raise StorageError(f"cannot use {place}: {error}; mend the disk and run the same command again") from error


@contextmanager
def whole_file(path: Path, writer: str = "") -> Iterator[Path]:
    """Yield a temporary path to write to; when the block ends without an error, it is renamed to `path`, durably.

    `writer` keeps the temporary names of concurrent writers of the same file apart.
    """
    temporary = path.with_name(f".{path.name}{writer}{TEMPORARY_SUFFIX}")
    with disk_errors(path):
        make_folder(path.parent)
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, each durable in its own parent."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync(each.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises StorageError naming the file where it is missing or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is not whole JSON ({error}): restore it from a copy, or delete it") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}; mend the disk and run the same command again") from error


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
