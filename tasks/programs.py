"""Programs, what they may use, and what becomes of them: said to a sandbox, and by it."""

from dataclasses import dataclass
from typing import Literal

ProgramEnd = Literal["exit", "signal", "memory", "cpu", "output", "forged", "wall", "killed"]


@dataclass(frozen=True)
class Program:
    """A program in Python, and tests that run after it in the same interpreter.

    `under_test` are the names that the tests are about: of names that builtins have too, the tests see these alone as
    the program defines them. With tests, the program is no main module.
    """

    text: str
    tests: str | None = None
    under_test: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a program may use: CPU seconds and bytes of memory of each of its processes, and how many these may be.

    `output_bytes` bounds its standard output, `file_bytes` all files that it holds at once. It may take ten times
    `cpu_seconds` by the clock, after which nothing is known of it.
    """

    cpu_seconds: int = 5
    memory_bytes: int = 2**30
    processes: int = 16
    output_bytes: int = 2**20
    file_bytes: int = 2**24


@dataclass(frozen=True)
class ProgramOutcome:
    """What became of a program.

    `stdout` is what it wrote, up to its limit, with U+FFFD for bytes that are no UTF-8; `stdout_digest` is the sha256
    of the bytes. `stderr` is the end of what it wrote there. `exit_code` is minus the signal where one ended it, as in
    `subprocess`, and None where we did. `cpu_seconds` are its own, without the start of the interpreter.

    `ended` is `memory` where an uncaught MemoryError ended it, `forged` where it wrote what only its harness may write,
    and `killed` where something from outside did, such as the kernel when memory is short. `passed`: its tests have
    returned; None where there were none, and where it ended by `wall` or `killed`, which say nothing of the program.
    """

    stdout: str
    stdout_digest: str
    stderr: str
    exit_code: int | None
    ended: ProgramEnd
    cpu_seconds: float | None
    passed: bool | None
