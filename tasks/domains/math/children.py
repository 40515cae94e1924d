"""A pool of child processes that grade, each killed and replaced where it does not answer in time."""

import json
import os
import queue
import select
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from overthink.tasks.child_processes import command_of, start
from overthink.tasks.errors import UserError

START_LIMIT_SECONDS = 120.0
# How long a reply may take: so many times the CPU seconds it has, as the machine may be busy with others, and a little.
PATIENCE, GRACE_SECONDS = 4.0, 10.0


class Children:
    """`count` processes, started when they are first needed; any number of threads may ask."""

    def __init__(self, module: str, count: int | None) -> None:
        self._module = module
        self._idle: queue.LifoQueue[Child | None] = queue.LifoQueue()
        self._all: list[Child] = []
        for _ in range(count or len(os.sched_getaffinity(0))):
            self._idle.put(None)

    def ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        """A child's reply, or None where it died or took longer than `seconds` allow. Raises UserError."""
        child = self._idle.get()
        try:
            child = child or self._start()
            reply = child.ask(request, PATIENCE * seconds + GRACE_SECONDS)
            if reply is None:
                child.stop()
                self._all.remove(child)
                child = None
            return reply
        finally:
            self._idle.put(child)

    def stop(self) -> None:
        """Kill them."""
        while self._all:
            self._all.pop().stop()

    def _start(self) -> "Child":
        child = Child(self._module)
        if child.read(START_LIMIT_SECONDS) is None:
            child.stop()
            raise UserError(f"cannot compare answers: `python -m {self._module}` does not start; pip install mpmath")
        self._all.append(child)
        return child


class Child:
    """One process that answers lines of JSON with lines of JSON."""

    def __init__(self, module: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = start(command_of(module), text=True, **pipes)  # the threads that ask come and go

    def ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        """The reply, or None where none came."""
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self.read(seconds)

    def read(self, seconds: float) -> Any:
        """The next line, or None where none comes in time."""
        assert self.process.stdout is not None
        waiting = select.poll()  # select() takes no descriptor above 1,023
        waiting.register(self.process.stdout, select.POLLIN)
        line = self.process.stdout.readline() if waiting.poll(seconds * 1000) else ""
        return json.loads(line) if line.endswith("\n") else None

    def stop(self) -> None:
        """Kill it and close its pipes."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):  # a dead child needs no input
            self.process.stdin.close()
        self.process.stdout.close()
