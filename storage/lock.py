"""Locks for one writer, or for several at the same work. The OS frees them with their process; they name the holder."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from overthink.storage.files import disk_errors, make_folder
from overthink.storage.storage_errors import StorageError, StoreBusy

PATIENCE_SECONDS = 2.0  # between taking a lock and writing the holder's name into it
RETRY_SECONDS = 0.05

_held: set[TextIO] = set()


def _let_go() -> None:
    """Release locks in a forked child: engines fork, and may outlive a killed parent."""
    for stream in _held:
        os.close(stream.fileno())
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def only_writer(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at `path`. Raises StoreBusy, naming the holder's process and host, where it is taken."""
    stream = _locked(path, fcntl.LOCK_EX)
    if stream is None:
        raise _busy(path, what)
    with _held_on(stream):
        _sign(path, stream)
        yield


def is_held(path: Path) -> bool:
    """Whether anyone holds the lock file at `path`. Writes nothing, so it works on a read-only store."""
    try:
        stream = path.open("rb+" if os.access(path, os.W_OK) else "rb")  # NFS grants exclusive locks only to writers
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}; give this user the right to read there") from error
    with stream:
        return not _take(stream, fcntl.LOCK_EX)


def holder_of(path: Path) -> str:
    """The process that holds the lock file at `path`, as it wrote its name there."""
    note = _note(path)
    return f"process {note['pid']} on {note['host']}" if {"pid", "host"} <= set(note) else "another process"


@contextmanager
def lease(path: Path, what: str) -> Iterator[None]:
    """Hold a piece of work exclusively; the lock file is deleted at the end. Raises StoreBusy where it is taken."""
    with only_writer(path, what):
        try:
            yield
        finally:
            with disk_errors(path):
                path.unlink(missing_ok=True)


@contextmanager
def fellow_writer(path: Path, what: str, work: str, prepare: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Share the lock file at `path` with all processes that do the same `work`.

    The process that finds it free calls `prepare` before any other may enter. Yields a function to call last: whether
    all others have left. Raises StoreBusy where the holder does other work, or holds the lock exclusively.
    """
    with _held_on(_joined(path, what, work, prepare)) as stream:
        yield lambda: _take(stream, fcntl.LOCK_EX)


def _joined(path: Path, what: str, work: str, prepare: Callable[[], object]) -> TextIO:
    """The lock file, locked and shared with the processes of the same work."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if (stream := _locked(path, fcntl.LOCK_EX)) is not None:
            try:
                _sign(path, stream, work)
                prepare()
            except BaseException:
                _release(stream)
                raise
            if _take(stream, fcntl.LOCK_SH):
                return stream
            _release(stream)  # the change of lock type is not atomic: another process got in between
        elif (stream := _locked(path, fcntl.LOCK_SH)) is not None:
            if _note(path).get("work") == work:
                return stream
            _release(stream)
            raise _busy(path, what)
        # One process holds it exclusively: it prepares the same work, unless the file names other work for too long.
        if _note(path).get("work") == work:
            deadline = time.monotonic() + PATIENCE_SECONDS
        elif time.monotonic() > deadline:
            raise _busy(path, what)
        time.sleep(RETRY_SECONDS)


@contextmanager
def _held_on(stream: TextIO) -> Iterator[TextIO]:
    try:
        yield stream
    finally:
        _release(stream)


def _release(stream: TextIO) -> None:
    # Unlocking, unlike closing, also frees the lock in forked children that have not yet released it.
    fcntl.flock(stream, fcntl.LOCK_UN)
    _held.discard(stream)
    stream.close()


def _locked(path: Path, kind: int) -> TextIO | None:
    """The lock file, locked; None where it is taken. If the file was removed meanwhile, a new one is locked."""
    while True:
        with disk_errors(path):
            make_folder(path.parent)
            stream = path.open("a+", encoding="utf-8")
        if not _take(stream, kind):
            stream.close()
            return None
        _held.add(stream)
        if _is_at(path, stream):
            return stream
        _release(stream)


def _take(stream: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _sign(path: Path, stream: TextIO, work: str | None = None) -> None:
    with disk_errors(path):
        stream.truncate(0)
        stream.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "work": work}))
        stream.flush()


def _is_at(path: Path, stream: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _note(path: Path) -> dict[str, Any]:
    """What the last holder wrote; empty where that cannot be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return note if isinstance(note, dict) else {}
    except (OSError, ValueError):
        return {}


def _busy(path: Path, what: str) -> StoreBusy:
    return StoreBusy(f"{what} is being written by {holder_of(path)}: wait for it, or stop that process")
