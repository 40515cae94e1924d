"""How the engines of one command share the cores of a machine without a GPU: those that are at work, in equal parts.

An engine that works alone has all cores; it takes its part anew before each step, so no core waits while another engine
has nothing to do. Threads of one engine that wait for those of another would stop both: with 2 cores and two threads
each, policy and PRM reached a quarter of their speed.
"""

import mmap
import os
import tempfile
from collections.abc import Callable
from functools import cache

SEATS = 256  # engines of one command at once


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
    """A byte for each engine of this command: 1 while it is at work. It lies in a file that all of them map."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the command runs)
        self._file.truncate(SEATS)
        self._at_work = mmap.mmap(self._file.fileno(), SEATS)
        self._free = list(range(SEATS))
        self.descriptor = self._file.fileno()

    def seat(self) -> Seat:
        """A free place."""
        return Seat(self, self._free.pop(0))

    def clear(self, number: int) -> None:
        """Take a place back."""
        if number not in self._free:
            self._at_work[number] = 0
            self._free.append(number)


@cache
def core_table() -> CoreTable:
    """The table of this command."""
    return CoreTable()


class SharedCores:
    """The cores as one engine sees them, in its own process; `set_threads` says how many of them it uses."""

    def __init__(self, descriptor: int, number: int, cores: int, set_threads: Callable[[int], object]) -> None:
        self._at_work = mmap.mmap(descriptor, SEATS)
        os.close(descriptor)
        self._number = number
        self._cores = cores
        self._set_threads = set_threads
        self._threads = 0

    def work(self) -> None:
        """Say that a step begins, and take this engine's part of the cores for it."""
        self._at_work[self._number] = 1
        at_work = bytes(self._at_work)
        threads = part(self._cores, sum(at_work), sum(at_work[: self._number]))
        if threads != self._threads:
            self._set_threads(threads)
            self._threads = threads

    def rest(self) -> None:
        """Say that there is nothing to do."""
        self._at_work[self._number] = 0


def part(cores: int, engines: int, before: int) -> int:
    """The cores of one of some engines, `before` of which come first and take what is left over; at least 1."""
    return max(1, cores // engines + (before < cores % engines))
