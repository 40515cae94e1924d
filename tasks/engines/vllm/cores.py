"""How the engines of one command share the cores of a machine without a GPU: those that are at work, in equal parts.

An engine that works alone has all cores; it takes its part anew before each step. One that has been at work a moment
ago still has its part: threads of one engine that wait for those of another stop both, and a step cannot give a core
back that another engine asks for in the middle of it (docs/performance.md).
"""

import math
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from functools import cache

SEATS = 64  # engines of one command at once
TABLE_BYTES = 8 * SEATS
SECONDS_KEPT = 0.5  # that an engine keeps its part without work: searches come back to their verifier sooner


class Seat:
    """One engine's place in the table, as the command sees it, and the table's open file."""

    def __init__(self, table: "CoreTable", number: int) -> None:
        self._table = table
        self.number = number
        self.descriptor = table.descriptor

    def leave(self) -> None:
        """Give it up; an engine that died at work is not counted any longer."""
        self._table.clear(self.number)


class CoreTable:
    """For each engine of this command, until when it has its part of the cores; it lies in a file that all of them map.

    Seconds of the machine's monotonic clock: infinite while the engine is at work.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the command runs)
        self._file.truncate(TABLE_BYTES)
        self._until = seats_of(self._file.fileno())
        self._free = list(range(SEATS))
        self.descriptor = self._file.fileno()

    def seat(self) -> Seat:
        """A free place."""
        return Seat(self, self._free.pop(0))

    def clear(self, number: int) -> None:
        """Take a place back."""
        if number not in self._free:
            self._until[number] = 0.0
            self._free.append(number)


@cache
def core_table() -> CoreTable:
    """The table of this command."""
    return CoreTable()


class SharedCores:
    """The cores as one engine sees them, in its own process; `set_threads` says how many of them it uses."""

    def __init__(self, descriptor: int, number: int, cores: int, set_threads: Callable[[int], object]) -> None:
        self._until = seats_of(descriptor)
        os.close(descriptor)
        self._number = number
        self._cores = cores
        self._set_threads = set_threads
        self._threads = 0

    def work(self) -> None:
        """Say that a step begins, and take this engine's part of the cores for it."""
        self._until[self._number] = math.inf
        now = time.monotonic()
        sharing = [number for number, until in enumerate(self._until) if until > now]
        threads = part(self._cores, len(sharing), sharing.index(self._number))
        if threads != self._threads:
            self._set_threads(threads)
            self._threads = threads

    def rest(self) -> None:
        """Say that there is nothing to do."""
        self._until[self._number] = time.monotonic() + SECONDS_KEPT


def seats_of(descriptor: int) -> "memoryview[float]":
    """The table in a file, as numbers that all processes see."""
    return memoryview(mmap.mmap(descriptor, TABLE_BYTES)).cast("d")


def part(cores: int, engines: int, before: int) -> int:
    """The cores of one of some engines, `before` of which come first and take what is left over; at least 1."""
    return max(1, cores // engines + (before < cores % engines))
