"""One writer, or several at the same work: an operating-system lock that dies with its process and says whose it is."""

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

PATIENCE_SECONDS = 2.0  # a lock is taken a moment before its holder has written who it is
RETRY_SECONDS = 0.05

_held: set[TextIO] = set()


def _let_go() -> None:
    """A forked child must not keep its parent's locks: engines fork, and may outlive a killed parent."""
    for stream in _held:
        os.close(stream.fileno())
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def only_writer(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at `path`. Raises StoreBusy with the holder's process and host where it is taken."""
    stream = _locked(path, fcntl.LOCK_EX)
    if stream is None:
        raise _busy(path, what)
    with _held_on(stream):
        _sign(path, stream)
        yield


def is_held(path: Path) -> bool:
    """Whether anyone holds the lock file at `path`; nothing is written, so that a store may be read only."""
    try:
        stream = path.open("rb+" if os.access(path, os.W_OK) else "rb")  # NFS gives locks of this kind to writers alone
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}; give this user the right to read there") from error
    with stream:
        return not _take(stream, fcntl.LOCK_EX)


@contextmanager
def lease(path: Path, what: str) -> Iterator[None]:
    """Be the only one at a piece of work; the lock file goes with the lease. Raises StoreBusy where it is taken."""
    with only_writer(path, what):
        try:
            yield
        finally:
            with disk_errors(path):
                path.unlink(missing_ok=True)


@contextmanager
def fellow_writer(path: Path, what: str, work: str, prepare: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Hold the lock file at `path` together with all who do the same `work`.

    Whoever comes while nobody holds it calls `prepare` before anyone else may enter. Yields a function, to be called
    last: whether the others have left. Raises StoreBusy where the holder does other work, or bears no company.
    """
    with _held_on(_joined(path, what, work, prepare)) as stream:
        yield lambda: _take(stream, fcntl.LOCK_EX)


def _joined(path: Path, what: str, work: str, prepare: Callable[[], object]) -> TextIO:
    """The lock file, locked together with those of the same work."""
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
            _release(stream)  # a lock is not changed in one step: somebody came in between
        elif (stream := _locked(path, fcntl.LOCK_SH)) is not None:
            if _note(path).get("work") == work:
                return stream
            _release(stream)
            raise _busy(path, what)
        # It is held by one alone: who prepares the same work, unless what is written there says otherwise for long.
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
    # Unlocking, unlike closing, also holds for children that were forked and have not yet let go.
    fcntl.flock(stream, fcntl.LOCK_UN)
    _held.discard(stream)
    stream.close()


def _locked(path: Path, kind: int) -> TextIO | None:
    """The lock file, locked; None where it is taken. One that was removed meanwhile guards nothing, so the next is."""
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
    note = _note(path)
    holder = f"process {note['pid']} on {note['host']}" if {"pid", "host"} <= set(note) else "another process"
    return StoreBusy(f"{what} is being written by {holder}: wait for it, or stop that process")
