"""Processes that end with the one that started them, whatever ends that one and whatever they are doing.

`command_of` is the command line that runs a module as such a process; this file, as `python -m
overthink.tasks.child_processes PARENT MODULE WORDS`, runs it. On Linux the kernel ends it (prctl PDEATHSIG), and so
what its main thread forks or spawns, to any depth: vLLM's core and its workers. Elsewhere it ends when its pipe does.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

PR_SET_PDEATHSIG = 1  # of prctl


def command_of(module: str, *words: str) -> list[str]:
    """Runs a module as a child of this process. The kernel counts the thread that starts it as its parent: see `start`.

    -P: a folder named `tasks` or `vllm` where the command was given is none of ours.
    """
    return [sys.executable, "-P", "-m", "overthink.tasks.child_processes", str(os.getpid()), module, *words]


def start(command: Sequence[str], **settings: Any) -> "subprocess.Popen[Any]":
    """Popen for threads that may end before this process does, with which their children would end."""
    return _starter(os.getpid()).submit(lambda: subprocess.Popen(command, **settings)).result()


@cache
def _starter(_process: int) -> ThreadPoolExecutor:
    """A thread that lives as long as this process; a forked copy has only the thread that forked it."""
    return ThreadPoolExecutor(1, "child-processes")


def end_with(parent: int) -> None:
    """Have the kernel end this process with its parent, or end it now where that one has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Forks:
    """Has what this process forks end with it, and what that forks, but where a passing thread forks."""

    def __init__(self) -> None:
        self._parent: int | None = None
        os.register_at_fork(before=self._before, after_in_child=self._after)

    def _before(self) -> None:
        self._parent = os.getpid() if threading.current_thread() is threading.main_thread() else None

    def _after(self) -> None:
        if self._parent is not None:
            end_with(self._parent)


def main() -> None:
    """Run the module."""
    _, parent, module, *words = sys.argv
    end_with(int(parent))
    Forks()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # multiprocessing spawned this process from one like this, which is still there
    end_with(os.getppid())
    Forks()
