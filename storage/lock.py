"""One writer: an operating-system lock that dies with its process and tells who holds it."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from storage.errors import StoreBusy
from storage.files import disk_errors, make_folder

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
    with _taken(path, what) as stream:
        with disk_errors(path):
            stream.truncate(0)
            stream.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            stream.flush()
        _held.add(stream)
        try:
            yield
        finally:
            # Unlocking, unlike closing, also holds for children that were forked and have not yet let go.
            fcntl.flock(stream, fcntl.LOCK_UN)
            _held.discard(stream)


def _taken(path: Path, what: str) -> TextIO:
    """The lock file, locked. One that was removed meanwhile guards nothing, so the next is taken instead."""
    while True:
        with disk_errors(path):
            make_folder(path.parent)
            stream = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise StoreBusy(f"{what} is being written by {_holder(path)}: wait for it, or stop that process") from error
        if _is_at(path, stream):
            return stream
        stream.close()


def _is_at(path: Path, stream: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
