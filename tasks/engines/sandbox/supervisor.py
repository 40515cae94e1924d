"""The first process inside a sandbox; this file's text is its program, and it imports nothing of ours.

It reads a job from its standard input, forks a child that bounds itself and becomes the program (`harness.py`), and
writes frames to its standard output: a letter, the length in 8 bytes, and the content. `b`: the program begins; `t`: it
is defined, send the tests; `o`: a piece of its standard output; `e`: the end of its standard error; `x`: how it ended.

It is process 1 of its namespace, so no signal from inside ends it, and its memory is closed to debuggers. The tests are
not here before the program is defined, and there is no token before the tests have returned. When its standard input
ends, because whoever asked is gone, it ends too, and the kernel ends with it all that the program has started.
"""

from __future__ import annotations

import builtins
import ctypes
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False  # `typing` itself takes as long to import as all else together
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, SIGINT, SIGKILL, SIGXCPU = 1, 4, 2, 9, 24
CHUNK, TAIL, HIGHEST_FILE = 65536, 4096, 1024
CPUCLOCK_SCHED = 2  # of a process, with its number, as `clock_getcpuclockid` makes it
MEMORY, DEFINED, RETURNED, WORD = b"memory!!", b"defined!", b"returned", 8
READS_AFTER_THE_END = 64  # of what a child of the program may go on writing
SECONDS_BETWEEN_LOOKS = 0.2  # at the CPU time of the program

libc = ctypes.CDLL(None)


def read_bytes(count: int) -> bytes:
    """So many bytes of standard input; ends with it."""
    content = bytearray()
    while len(content) < count:
        piece = os.read(0, min(count - len(content), CHUNK))
        if not piece:
            os._exit(1)
        content += piece
    return bytes(content)


def read_frame() -> bytes:
    """What comes next on standard input: its length in 8 bytes, and its content."""
    return read_bytes(int.from_bytes(read_bytes(8), "big"))


def write_all(file: int, content: bytes) -> None:
    """Write everything."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def send_frame(kind: bytes, content: bytes) -> None:
    """Tell whoever asked."""
    write_all(1, kind + len(content).to_bytes(8, "big") + content)


def file_with(content: bytes) -> int:
    """A file in memory, to be read from its beginning."""
    file = os.memfd_create("given")
    write_all(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def harden(uid: int) -> None:
    """Become the user, and close this process and its child to debuggers and to the terminal's signals."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_DUMPABLE, 0)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL)  # a change of the user has cleared it
    libc.signal(SIGINT, None)  # the kernel's default, which process 1 is spared; Python's handler would run


class Supervised:
    """The program's process as its supervisor sees it: its pipes, and what its harness has said."""

    def __init__(self, job: dict[str, Any], pid: int, files: tuple[int, int, int, int], tests: int) -> None:
        self.job, self.pid, self.tests = job, pid, tests
        self.out, self.errors, self.said, self.answer = files
        self.ended = os.pidfd_open(pid)
        self.length, self.tail, self.heard = 0, b"", b""
        self.token: bytes | None = None
        self.stopped: str | None = None
        self.is_defined = self.passed = self.lacked_memory = False

    def hear(self, said: bytes) -> None:
        """What the harness says: each thing is heard once, and in its order."""
        if said == MEMORY:
            self.lacked_memory = True
        elif said == DEFINED and self.job["is_tested"] and not self.is_defined:
            self.is_defined = True
            send_frame(b"t", b"")
            write_all(self.tests, read_frame())
            os.lseek(self.tests, 0, os.SEEK_SET)
            self.reply(b".")
        elif said == RETURNED and self.is_defined and self.token is None:
            self.token = os.urandom(WORD)
            self.reply(self.token)
        elif said == self.token and not self.passed:
            self.passed = True
        else:
            self.stopped = "forged"

    def reply(self, content: bytes) -> None:
        """Answer the harness, unless the program has ended in the meantime."""
        try:
            os.write(self.answer, content)
        except BrokenPipeError:
            pass

    def take(self, file: int) -> bool:
        """Read what there is in one of the pipes; False at its end."""
        piece = os.read(file, CHUNK)
        if file == self.out:
            room = self.job["output_bytes"] - self.length
            self.stopped = self.stopped or ("output" if len(piece) > room else None)
            self.length += len(piece[:room])
            send_frame(b"o", piece[:room])
        elif file == self.errors:
            self.tail = (self.tail + piece)[-TAIL:]
        else:
            self.heard += piece
            while len(self.heard) >= WORD and not self.stopped:
                word, self.heard = self.heard[:WORD], self.heard[WORD:]
                self.hear(word)
        return bool(piece)

    def watch(self) -> bool:
        """Until the program ends or must be stopped; False where it has had its time by the clock before."""
        files = [self.out, self.errors, self.said]
        deadline = time.monotonic() + self.job["wall_seconds"]
        while not self.stopped:
            left = deadline - time.monotonic()
            ready = select.select([0, self.ended, *files], [], [], max(min(left, SECONDS_BETWEEN_LOOKS), 0))[0]
            if self.ended in ready:
                self.drain(files)
                return True
            if 0 in ready:
                os._exit(1)  # nobody waits for an answer any more
            if left <= 0:
                return False
            if self.cpu_seconds() > self.job["cpu_seconds"]:
                self.stopped = self.stopped or "cpu"
            files = [file for file in files if file not in ready or self.take(file)]
        return True

    def cpu_seconds(self) -> float:
        """What the program has used, exactly; the kernel's own limits count ticks, which vary with load."""
        try:
            return time.clock_gettime(~self.pid << 3 | CPUCLOCK_SCHED)
        except OSError:  # it has just ended
            return 0.0

    def drain(self, files: list[int]) -> None:
        """Read what the program has left in its pipes; its children, who may go on writing, are not waited for."""
        for _ in range(READS_AFTER_THE_END):
            ready = select.select(files, [], [], 0)[0]
            files = [file for file in files if file not in ready or self.take(file)]
            if self.stopped or not ready:
                return

    def report(self, in_time: bool) -> str:
        """How it ended, in a word; its exit code or signal or `-`; its CPU seconds; whether the tests passed."""
        if not in_time or self.stopped:
            os.kill(self.pid, SIGKILL)
        _, status, used = os.wait4(self.pid, 0)
        seconds, code = used.ru_utime + used.ru_stime, os.waitstatus_to_exitcode(status)
        if self.stopped:
            ended = self.stopped
        elif not in_time:
            ended = "wall"
        elif code == -SIGXCPU or seconds > self.job["cpu_seconds"]:
            ended = "cpu"
        elif code < 0:
            ended = "killed" if code == -SIGKILL else "signal"
        else:
            ended = "memory" if self.lacked_memory else "exit"
        return f"{ended} {code} {seconds:.6f} {int(self.passed and ended == 'exit')}"


def start(job: dict[str, Any]) -> tuple[Supervised | None, tuple[int, int, int]]:
    """Fork. In the supervisor the child, in the child None and its ends: to ask, to be answered, the tests."""
    given, tests = file_with(job["stdin"]), os.memfd_create("tests")
    (out, to_out), (errors, to_errors), (said, to_said), (to_be_read, answer) = (os.pipe() for _ in range(4))
    pid = os.fork()
    if pid:
        for file in (given, to_out, to_errors, to_said, to_be_read):
            os.close(file)
        return Supervised(job, pid, (out, errors, said, answer), tests), (-1, -1, -1)
    for number, file in enumerate((given, to_out, to_errors)):
        os.dup2(file, number)
    kept = [2, *sorted((to_said, to_be_read, tests)), HIGHEST_FILE]
    for below, above in zip(kept, kept[1:], strict=False):
        os.closerange(below + 1, above)
    return None, (to_said, to_be_read, tests)


def bound(rlimits: list[tuple[str, int, int]]) -> None:
    """Set soft and hard limits, no higher than they are."""
    for name, *wanted in rlimits:
        number = getattr(resource, name)
        _, hard = resource.getrlimit(number)
        soft, hard = (value if hard == resource.RLIM_INFINITY else min(value, hard) for value in wanted)
        resource.setrlimit(number, (soft, hard))


def main() -> dict[str, Any]:
    """Supervises, and does not return; in the program's process, the names that its harness runs with."""
    job = marshal.loads(read_frame())
    harden(job["uid"])
    child, ends = start(job)
    if child is not None:
        send_frame(b"b", b"")
        report = child.report(child.watch())
        send_frame(b"e", child.tail)
        send_frame(b"x", report.encode())
        os._exit(0)
    bound(job["rlimits"])
    os.environ.clear()
    sys.argv = ["program"]
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # which `site` would define
    safe = dict(vars(builtins))
    return {"__name__": "harness", "__builtins__": safe, "safe": safe, "job": job, "ends": ends}


if __name__ == "__main__":
    names = main()
    exec(compile(names["job"]["harness"], "harness", "exec"), names)
