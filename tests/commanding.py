"""The `overthink` command in this process, seen as a process is seen: its exit code and all that it wrote.

It takes a tenth of a second where a process imports for one or more. What is about processes (signals, kills, memory,
what native libraries print) starts one.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from contextvars import copy_context
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO
from unittest.mock import patch

from overthink.flows.commands.cli import app


def overthink(*words: object, cwd: Path | None = None, **environment: str) -> "CompletedProcess[str]":
    """What the command does with these words in a folder, with these variables on top of ours; it has no terminal."""
    arguments = [str(word) for word in words]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, environment))
            stack.enter_context(chdir(cwd or Path.cwd()))
            stack.enter_context(_written_to(output, "stdout"))
            stack.enter_context(_written_to(errors, "stderr"))
            # In a context of its own: what a command leaves in context variables is gone with a process too.
            code = copy_context().run(_exit_code, arguments)
        return CompletedProcess(arguments, code, *map(_text, (output, errors)))


@contextmanager
def _written_to(file: IO[str], name: str) -> Iterator[None]:
    """Let everything go to a file that is written to a standard stream, by way of its descriptor too."""
    stream, number = getattr(sys, name), {"stdout": 1, "stderr": 2}[name]
    stream.flush()
    saved = os.dup(number)
    os.dup2(file.fileno(), number)
    # Loggers that are made meanwhile keep it, so it is never closed.
    written = os.fdopen(number, "w", closefd=False)
    setattr(sys, name, written)
    try:
        yield
    finally:
        written.flush()
        setattr(sys, name, stream)
        os.dup2(saved, number)
        os.close(saved)


def _exit_code(arguments: list[str]) -> int:
    try:
        app(arguments, prog_name="overthink")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # as the interpreter would say it
        traceback.print_exc()
        return 1
    return 0


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
