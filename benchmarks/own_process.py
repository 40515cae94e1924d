"""Another tool's engines in a process of their own, which waits while other ways are measured."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from overthink.tasks.child_processes import end_with

Measured = tuple[float, int]  # seconds, and tokens written
Load = Callable[..., Callable[..., Measured]]


class OwnProcess:
    """What `load(*arguments)` returns is called there; it ends when it is closed, or when this process ends."""

    def __init__(self, load: Load, *arguments: Any, environment: Mapping[str, str] | None = None) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._connection, theirs = spawning.Pipe()
        self._process = spawning.Process(target=answer, args=(theirs, load, arguments))
        before = dict(os.environ)
        os.environ.update(environment or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._connection.recv()

    def measure(self, *asked: Any) -> Measured:
        """Seconds taken and tokens written. Raises EOFError where the process ended."""
        self._connection.send(asked)
        seconds, tokens = self._connection.recv()
        return seconds, tokens

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.join()


def answer(connection: Connection, load: Load, arguments: tuple[Any, ...]) -> None:
    """Load, say so, and measure what arrives until the other end is closed."""
    end_with(os.getppid())
    measure = load(*arguments)
    connection.send(None)
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        connection.send(measure(*asked))
