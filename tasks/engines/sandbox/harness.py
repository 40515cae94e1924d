"""What becomes the program, in a process of its own; the supervisor runs this file's text there.

The tests run after the program in its interpreter, since they call its functions. They are sent for once the program is
defined, and read in a namespace of their own: its builtins are those of before the program ran, and a name of the
program hides a builtin only where the tests are about it. Only after the tests have returned does this process ask for
the token, which it says back as the proof; so whatever ends it before, or answers in its place, proves nothing.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` takes as long to import as all else together
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

MEMORY, DEFINED, RETURNED, WORD = b"memory!!", b"defined!", b"returned", 8
CHUNK = 65536
OWN_FILES = ("<string>", "harness")


class Harness:
    """Holds what it calls from before the program ran: the program may put something else into modules."""

    def __init__(self, job: dict[str, Any], ends: tuple[int, int, int], builtins: dict[str, Any]) -> None:
        self.program, self.under_test, self.is_tested = job["program"], job["under_test"], job["is_tested"]
        self.ask, self.answer, self.tests = ends
        self.builtins = builtins
        self.write, self.read, self.getpid, self.leave = os.write, os.read, os.getpid, os._exit
        self.untrace = (sys.settrace, sys.setprofile)
        self.show = sys.__excepthook__
        self.pid = os.getpid()

    def run(self) -> None:
        """The program alone is the main module; with tests it is the module `program`, so that main guards are off."""
        name = "program" if self.is_tested else "__main__"
        module = type(sys)(name)
        sys.modules[name] = module
        sys.excepthook = self.uncaught
        self.seed(self.program)
        exec(compile(self.program, name, "exec", dont_inherit=True), vars(module))
        if self.is_tested:
            self.test(vars(module))

    def test(self, defined: dict[str, Any]) -> None:
        """Run the tests, and prove that they have returned."""
        for off in self.untrace:
            off(None)
        self.write(self.ask, DEFINED)
        self.read(self.answer, 1)
        source = self.read_tests()
        self.seed(source)
        exec(compile(source, "tests", "exec", dont_inherit=True), self.names(defined))
        if self.getpid() == self.pid:  # a copy that the program has made of this process proves nothing
            self.write(self.ask, RETURNED)
            self.write(self.ask, self.read(self.answer, WORD))
        self.leave(0)

    def names(self, defined: dict[str, Any]) -> dict[str, Any]:
        """What the tests see of the program."""
        seen = {name: value for name, value in defined.items() if name in self.under_test or name not in self.builtins}
        return seen | {"__name__": "tests", "__builtins__": self.builtins}

    def read_tests(self) -> str:
        """The text of the tests."""
        content = bytearray()
        while piece := self.read(self.tests, CHUNK):
            content += piece
        return content.decode("utf-8", "surrogatepass")

    def seed(self, source: str) -> None:
        """Chance is the same every time."""
        if "random" in source:
            import random

            random.seed(0)

    def uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Say why the program ended, without the frames that are not its own."""
        if issubclass(kind, MemoryError):
            self.write(self.ask, MEMORY)
        while trace is not None and trace.tb_frame.f_code.co_filename in OWN_FILES:
            trace = trace.tb_next
        self.show(kind, error.with_traceback(trace), trace)


if __name__ == "harness":
    Harness(job, ends, safe).run()  # type: ignore[name-defined]  # noqa: F821 -- the supervisor gives these names
