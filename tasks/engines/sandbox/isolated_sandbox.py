"""The sandbox: each program in an isolation of its own, as many at once as there are cores."""

import asyncio
import itertools
import os
from typing import Any

from overthink.tasks.engines.sandbox.conversation import Conversation
from overthink.tasks.engines.sandbox.isolation import HARNESS, Isolation
from overthink.tasks.programs import Limits, Program, ProgramOutcome

WALL_PER_CPU = 10
FIRST_USER, PROCESS_IDS, USERS = 2**30, 2**22, 256
STACK_BYTES = 8 * 2**20
OPEN_FILES = 64

_count = itertools.count()


class IsolatedSandbox:
    """Answers to the protocol `Sandbox`."""

    def __init__(self, isolation: Isolation, concurrency: int | None = None) -> None:
        self.isolation = isolation
        self._room = asyncio.Semaphore(concurrency or len(os.sched_getaffinity(0)))

    def identity(self) -> dict[str, str]:
        """The isolation's."""
        return self.isolation.identity()

    async def execute(self, program: Program, stdin: str, limits: Limits) -> ProgramOutcome:
        """What becomes of a program; no process and no file of it is left. Raises EngineDied, EngineUnavailable."""
        async with self._room:
            conversation = Conversation(_job(program, stdin, limits), program.tests)
            return await conversation.hold(self.isolation.command(limits))

    async def close(self) -> None:
        """It holds nothing between programs."""


def _job(program: Program, stdin: str, limits: Limits) -> dict[str, Any]:
    """What the supervisor is told before the program begins: not the tests."""
    return {
        "harness": HARNESS,
        "program": program.text,
        "under_test": program.under_test,
        "is_tested": program.tests is not None,
        "stdin": stdin.encode("utf-8", "surrogatepass"),
        "uid": _new_user(),
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.cpu_seconds * WALL_PER_CPU,
        "output_bytes": limits.output_bytes,
        "rlimits": _rlimits(limits),
    }


def _new_user() -> int:
    """A user for one program, where root begins it: of no other program on this machine, this process's last included.

    The kernel counts processes by user, and those that are gone a moment longer.
    """
    return FIRST_USER + os.getpid() % PROCESS_IDS * USERS + next(_count) % USERS


def _rlimits(limits: Limits) -> list[tuple[str, int, int]]:
    """Soft and hard limits. One process more, since the supervisor counts as one of the same user.

    The supervisor stops the program at its CPU seconds; the kernel's own limit, which it counts less exactly, is for
    children of the program, and the hard one for those that go on after the signal of the soft one.
    """
    same = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_NPROC": limits.processes + 1,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_STACK": STACK_BYTES,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_CORE": 0,
    }
    soft = limits.cpu_seconds + limits.cpu_seconds // 2 + 1
    cpu = ("RLIMIT_CPU", soft, soft + 1)
    return [cpu, *((name, value, value) for name, value in same.items())]
