"""SIGTERM to a command: one message and exit code 143, mostly at once, and soon whatever the command is doing."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

EXIT_CODE = 128 + signal.SIGTERM  # a shell's exit code for a process that a signal ended
PATIENCE_SECONDS = 30.0  # for final reports to a Prefect server, which may be unreachable
MESSAGE = "stopped by SIGTERM: whatever was stored is whole; run the same command again"


@dataclass
class _Work:
    """A command's work in an event loop; `cancelled` is set when SIGTERM comes meanwhile."""

    loop: asyncio.AbstractEventLoop
    main: "asyncio.Task[Any]"
    cancelled: bool = False

    def cancel_others(self) -> None:
        self.cancelled = True
        for task in asyncio.all_tasks(self.loop) - {self.main}:
            task.cancel()


_at_work: list[_Work] = []


class Terminated(SystemExit):
    """SIGTERM came. A SystemExit, because asyncio's tasks keep other exceptions to themselves."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise Terminated inside the block when SIGTERM comes; after PATIENCE_SECONDS the process ends in any case.

    Python calls a signal handler only between its own instructions, so a long computation in a library, a wait for
    threads, or a task that swallows the exception could delay it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    screen = os.dup(2)
    threading.Thread(target=_watch, args=(reading, screen), name="sigterm", daemon=True).start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    except RuntimeError as error:  # DuckDB's, in place of what a signal's handler raised during a query
        if str(error) != "Query interrupted":
            raise
        raise (Terminated() if signal.getsignal(signal.SIGTERM) is not _raise else KeyboardInterrupt()) from error
    finally:
        if signal.getsignal(signal.SIGTERM) is _raise:  # else SIGTERM came, and the process is about to end
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, before)
            os.close(writing)  # ends the watching thread


async def ending_with_its_tasks(work: Coroutine[Any, Any, object]) -> None:
    """Run `work`, and cancel all other tasks when SIGTERM comes; raises Terminated where SIGTERM ended it.

    Within a flow Prefect's own handler raises in whatever task is running. asyncio keeps the exception in that task,
    and whoever awaits it awaits the others first.
    """
    main = asyncio.current_task()
    assert main is not None, "a coroutine runs in a task"
    here = _Work(asyncio.get_running_loop(), main)
    _at_work.append(here)
    try:
        await work
    except asyncio.CancelledError as error:
        if here.cancelled:
            raise Terminated from error
        raise
    finally:
        _at_work.remove(here)


def _raise(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second SIGTERM ends the process at once
    raise Terminated


def _watch(reading: int, screen: int) -> None:
    """End the process PATIENCE_SECONDS after SIGTERM; the signal itself writes to the pipe."""
    with os.fdopen(reading, "rb", buffering=0) as signals, os.fdopen(screen, "wb", buffering=0) as terminal:
        while came := signals.read(1):
            if came[0] == signal.SIGTERM:
                for work in _at_work:
                    with suppress(RuntimeError):  # its loop is closed already
                        work.loop.call_soon_threadsafe(work.cancel_others)
                time.sleep(PATIENCE_SECONDS)
                with suppress(OSError):
                    terminal.write(f"{MESSAGE}\n".encode())
                os._exit(EXIT_CODE)


def _forget() -> None:
    """Restore the default SIGTERM in a forked child, without effect on its parent."""
    if signal.getsignal(signal.SIGTERM) is _raise:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget)
