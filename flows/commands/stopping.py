"""SIGTERM to a command: one message, exit code 143, mostly at once, and soon whatever the command is at."""

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

EXIT_CODE = 128 + signal.SIGTERM  # as a shell says of a process that a signal ended
PATIENCE_SECONDS = 30.0  # for what must be told at the end, to a Prefect server that may be away
MESSAGE = "stopped by SIGTERM: whatever was stored is whole; run the same command again"


@dataclass
class _Work:
    """What a command does in an event loop; `cancelled` tells that SIGTERM came meanwhile."""

    loop: asyncio.AbstractEventLoop
    main: "asyncio.Task[Any]"
    cancelled: bool = False

    def cancel_others(self) -> None:
        self.cancelled = True
        for task in asyncio.all_tasks(self.loop) - {self.main}:
            task.cancel()


_at_work: list[_Work] = []


class Terminated(SystemExit):
    """SIGTERM came. Of SystemExit's kind, because tasks of asyncio keep all others to themselves."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise Terminated inside where SIGTERM comes; after PATIENCE_SECONDS the process ends in any case.

    Python calls a handler between two steps of its own, so a library that computes for long, threads that are waited
    for, or a task that keeps what it is told could hold it up.
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
    finally:
        if signal.getsignal(signal.SIGTERM) is _raise:  # else it came, and its end is near
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, before)
            os.close(writing)  # ends the watch


async def ending_with_its_tasks(work: Coroutine[Any, Any, object]) -> None:
    """Do `work` and cancel all tasks beside it where SIGTERM comes; raises Terminated where that ends it.

    Within a flow Prefect's own handler raises, in whatever task is running at the moment. asyncio keeps the exception
    there, and who waits for that task waits for the others first.
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
    signal.signal(number, signal.SIG_DFL)  # the second one ends the process at once
    raise Terminated


def _watch(reading: int, screen: int) -> None:
    """End the process some time after SIGTERM came; the pipe is written to the moment it does."""
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
    """A forked child ends by SIGTERM as other processes do, and its parent does not hear of it."""
    if signal.getsignal(signal.SIGTERM) is _raise:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget)
