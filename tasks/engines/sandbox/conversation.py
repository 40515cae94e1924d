"""What is said with the supervisor of one program, over the standard input and output of its command."""

import asyncio
import hashlib
import marshal
import os
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from overthink.tasks.errors import EngineDied
from overthink.tasks.programs import ProgramEnd, ProgramOutcome

CHUNK = 65536
MARSHAL = 2  # a version that every interpreter of a container reads
GRACE_SECONDS = 120.0  # for a start, and an end, on a machine that is busy with others
REPORT = re.compile(r"(exit|signal|memory|cpu|output|forged|wall|killed) (-?\d+) (\d+\.\d+) ([01])")
NO_REPORT = ("killed", "", "", "0")


class Conversation:
    """One program, from its job to its outcome."""

    def __init__(self, job: dict[str, Any], tests: str | None) -> None:
        self._job, self._tests = job, tests
        self._out, self._errors, self._has_begun = bytearray(), b"", False

    async def hold(self, command: Sequence[str]) -> ProgramOutcome:
        """Nothing of the command is left when this returns or raises. Raises EngineDied where nothing began."""
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
        )
        try:
            async with asyncio.timeout(self._job["wall_seconds"] + GRACE_SECONDS):
                report = await self._listen(await asyncio.shield(starting))
        except TimeoutError:
            report = None
        finally:
            errors = await _end(await starting)
        if report is None:
            self._errors = errors[:CHUNK]
        if not self._has_begun:
            reason = self._errors.decode(errors="replace").strip() or "it does not answer"
            raise EngineDied(f"the sandbox began no program: {reason}")
        return self._outcome(report)

    async def _listen(self, process: Process) -> str | None:
        """The report; None where the supervisor ends without one, or says what it never says."""
        assert process.stdin is not None and process.stdout is not None
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _send(process.stdin, marshal.dumps(self._job, MARSHAL))
            while True:
                head = await process.stdout.readexactly(9)
                kind, length = head[:1], int.from_bytes(head[1:], "big")
                if length > CHUNK or len(self._out) > self._job["output_bytes"]:
                    return None
                content = await process.stdout.readexactly(length)
                if kind == b"x":
                    await process.wait()
                    return content.decode(errors="replace")
                await self._take(kind, content, process.stdin)
        return None

    async def _take(self, kind: bytes, content: bytes, answers: asyncio.StreamWriter) -> None:
        if kind == b"b":
            self._has_begun = True
        elif kind == b"o":
            self._out += content
        elif kind == b"e":
            self._errors = content
        elif kind == b"t":
            await _send(answers, (self._tests or "").encode("utf-8", "surrogatepass"))

    def _outcome(self, report: str | None) -> ProgramOutcome:
        found = REPORT.fullmatch(report or "")
        ended, code, seconds, passed = found.groups() if found else NO_REPORT
        is_known = self._tests is not None and ended not in ("wall", "killed")
        return ProgramOutcome(
            stdout=self._out.decode(errors="replace"),
            stdout_digest=hashlib.sha256(self._out).hexdigest(),
            stderr=self._errors.decode(errors="replace"),
            exit_code=int(code) if ended in ("exit", "memory", "signal") else None,
            ended=cast(ProgramEnd, ended),
            cpu_seconds=float(seconds) if seconds else None,
            passed=passed == "1" if is_known else None,
        )


async def _send(to: asyncio.StreamWriter, content: bytes) -> None:
    """A frame: its length in 8 bytes, and its content."""
    to.write(len(content).to_bytes(8, "big") + content)
    await to.drain()


async def _end(process: Process) -> bytes:
    """Kill whatever is left of a command; the rest of its standard error."""
    assert process.stdin is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # `process.kill` may take what asyncio's own watcher waits for
    # A supervisor that is just changing its user is not killed with its parent: it ends with its standard input.
    if not process.stdin.is_closing():
        process.stdin.transport.abort()
    return (await process.communicate())[1]  # `process.wait` would wait for ever for output that nobody reads
