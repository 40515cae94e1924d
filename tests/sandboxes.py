"""Sandboxes for tests: the one that holds here, one that holds nothing back, and what is left of either."""

import asyncio
import sys
from functools import cache
from pathlib import Path

from overthink.tasks.engines.sandbox.bubblewrap import Bubblewrap
from overthink.tasks.engines.sandbox.isolation import supervised
from overthink.tasks.engines.sandbox.probing import faults
from overthink.tasks.programs import Limits


@cache
def lack() -> str:
    """Why bubblewrap does not hold on this machine; empty where it does."""
    return "; ".join(asyncio.run(faults(Bubblewrap())))


def interpreter() -> str:
    """One that every user may run: ours may lie in a folder of root's."""
    of_the_system = Path("/usr/bin/python3")
    return str(of_the_system) if of_the_system.exists() else sys.executable


class Open:
    """Isolates from nothing."""

    name = "open"

    def command(self, limits: Limits) -> list[str]:
        return supervised(interpreter())

    def identity(self) -> dict[str, str]:
        return {"sandbox": self.name}


class Marked(Bubblewrap):
    """Bubblewrap, with a mark in the command lines of all that it begins."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def command(self, limits: Limits) -> list[str]:
        return [*super().command(limits), self.mark]

    def alive(self) -> list[int]:
        """The processes with the mark."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                content = path.read_bytes()
            except OSError:
                continue  # it has ended, or is closed to us
            if self.mark.encode() in content.split(b"\0"):
                found.append(int(path.parent.name))
        return found
