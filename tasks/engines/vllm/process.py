"""The process of one vLLM engine, seen from the event loop: requests go out together, answers come back in batches."""

import asyncio
import contextlib
import multiprocessing
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, overload

from overthink.tasks.child_processes import command_of
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.vllm.cores import Seat
from overthink.tasks.engines.vllm.messages import HeadRows, ReadPlaces, Write
from overthink.tasks.errors import EngineDied, EngineUnavailable

LOOP = "overthink.tasks.engines.vllm.loop"
STANDARD_ERROR = 2
SECONDS_TO_END = 30.0


class VllmProcess:
    """One copy of a vLLM engine in a separate process, which ends when this one does.

    A thread sends and another receives, so that the event loop never waits for an engine that is computing. The
    process leads a group, in which vLLM may start more; they are ended together. `cache_tokens` is what its key-value
    cache holds, None where that is unknown.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", connection: Connection, cache_tokens: int | None = None
    ) -> None:
        self.cache_tokens = cache_tokens
        self._process = process
        self._connection = connection
        self._events = asyncio.get_running_loop()
        self._gathered: list[tuple[int, Write | ReadPlaces]] = []  # since the event loop's last turn
        self._asked: queue.SimpleQueue[list[tuple[int, Write | ReadPlaces]] | None] = queue.SimpleQueue()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._closing = False
        self._death: str | None = None
        self._receiver = threading.Thread(target=self._receive, name="vllm-answers", daemon=True)
        self._sender = threading.Thread(target=self._send, name="vllm-requests", daemon=True)

    @classmethod
    async def start(
        cls, settings: Mapping[str, Any], own_process: bool, environment: Mapping[str, str], seat: Seat | None = None
    ) -> "VllmProcess":
        """Load the model; `own_process` is whether the engine's core has yet another process.

        `seat` is its place among the engines that share the cores, None where each has its own.

        Raises EngineUnavailable where the model cannot be loaded.
        """
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            process = subprocess.Popen(
                command_of(LOOP, str(theirs.fileno())),  # the thread of the event loop is its parent
                env={**os.environ, **environment},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=STANDARD_ERROR,
                start_new_session=True,  # Ctrl-C is for us, and closing the pipe ends it
            )
        try:
            ours.send((dict(settings), own_process, seat and seat.number))
            if seat is not None:
                reduction.send_handle(ours, seat.descriptor, process.pid)
            told: EngineUnavailable | int | None = await asyncio.to_thread(ours.recv)
        except (EOFError, OSError) as error:
            reason = f"its process ended with code {await asyncio.to_thread(_wait_for_group, process)}"
            raise EngineUnavailable(
                f"vLLM cannot load {settings['model']} ({reason}): see what it printed, and the machine's memory"
            ) from error
        except BaseException:  # the caller was cancelled
            _kill_group(process)
            _wait_for_group(process)
            raise
        if isinstance(told, EngineUnavailable):
            await asyncio.to_thread(_wait_for_group, process)
            raise told
        engine = cls(process, ours, told)
        engine._receiver.start()
        engine._sender.start()
        return engine

    @property
    def in_flight(self) -> int:
        """Requests without an answer."""
        return len(self._answers)

    @overload
    async def submit(self, asked: Write) -> WrittenText: ...
    @overload
    async def submit(self, asked: ReadPlaces) -> HeadRows: ...
    async def submit(self, asked: Write | ReadPlaces) -> WrittenText | HeadRows:
        """One request. Raises EngineDied where the engine stopped, ValueError where it refused."""
        if self._death is not None:
            raise EngineDied(f"vLLM had stopped: {self._death}")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Any] = self._events.create_future()
        self._answers[number] = answer
        if not self._gathered:
            self._events.call_soon(self._hand_over)
        self._gathered.append((number, asked))
        try:
            return await answer  # type: ignore[no-any-return]
        finally:
            self._answers.pop(number, None)

    async def close(self) -> None:
        """End the process, which frees all that the engine holds."""
        self._closing = True
        self._asked.put(None)
        await asyncio.to_thread(self._receiver.join, SECONDS_TO_END)
        if self._receiver.is_alive():
            _kill_group(self._process)
            await asyncio.to_thread(self._receiver.join)

    def _hand_over(self) -> None:
        """Give the sending thread what was gathered, in one go: each time it wakes, it holds up the event loop."""
        gathered, self._gathered = self._gathered, []
        self._asked.put(gathered)

    def _send(self) -> None:
        with contextlib.suppress(OSError):  # the process ended, which the other thread reports
            while (asked := self._asked.get()) is not None:
                self._connection.send(asked)
            self._connection.send(None)

    def _receive(self) -> None:
        try:
            while True:
                received: list[tuple[int, Any]] | str = self._connection.recv()
                self._tell(self._end if isinstance(received, str) else self._deliver, received)
        except (EOFError, OSError):
            code = _wait_for_group(self._process)
        self._tell(self._end, "it was closed" if self._closing else f"its process ended with code {code}")

    def _tell(self, callback: Callable[[Any], None], argument: Any) -> None:
        try:
            self._events.call_soon_threadsafe(callback, argument)
        except RuntimeError:  # the event loop is gone, and with it everyone who could be told
            self._asked.put(None)

    def _deliver(self, answers: list[tuple[int, Any]]) -> None:
        for number, answer in answers:
            waiting = self._answers.get(number)
            if waiting is None or waiting.done():
                continue
            if isinstance(answer, ValueError):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    def _end(self, reason: str) -> None:
        self._death = self._death or reason
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(EngineDied(f"vLLM stopped: {self._death}"))


def _wait_for_group(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process that is ending; what is left of its group is killed before its number is free."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    _kill_group(process)
    return process.wait()


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
