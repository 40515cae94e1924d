"""The thread that steps engines: those that share our process take turns on one, since vLLM's state there is global."""

import threading
from typing import Protocol


class Stepped(Protocol):
    """An engine that is carried forward a step at a time."""

    def turn(self) -> bool:
        """Load, take in requests or compute a step; False where there was nothing to do."""
        ...

    @property
    def waiting(self) -> int:
        """How many requests it has that are not answered."""
        ...

    @property
    def done(self) -> bool:
        """Whether it has been closed or has died: it wants no more turns."""
        ...


PATIENCE = 16  # turns of others that an engine with less to do waits for, so that none is left waiting for ever


class StepThread:
    """A daemon thread that gives its engines turns, round and round, and sleeps where none has work.

    A step costs little more for many requests than for few. So of engines that have work, those with fewer requests
    than the busiest let it go first, until theirs are as many: then one step answers them all.
    """

    def __init__(self) -> None:
        self._engines: list[Stepped] = []
        self._passed: dict[Stepped, int] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._running = False

    def add(self, engine: Stepped) -> None:
        """Carry one more engine forward; ends with the last of them, and starts again with the next."""
        with self._lock:
            self._engines.append(engine)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="vllm-step-loop", daemon=True).start()
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.clear()
            busy = [engine.turn() for engine in self._next()]
            with self._lock:
                self._engines = [engine for engine in self._engines if not engine.done]
                if not self._engines:
                    self._running = False
                    return
            if not any(busy) and not self._passed:  # who let others go first has work, whatever those had
                self._woken.wait()

    def _next(self) -> list[Stepped]:
        """The engines whose turn it is."""
        engines = list(self._engines)
        most = max(engine.waiting for engine in engines)
        due = [engine for engine in engines if not 0 < engine.waiting < most or self._passed.get(engine, 0) >= PATIENCE]
        self._passed = {engine: self._passed.get(engine, 0) + 1 for engine in engines if engine not in due}
        return due


_shared = StepThread()


def step_thread(own_process: bool) -> StepThread:
    """The thread for an engine whose core runs in a process of its own, or the one that all others share."""
    return StepThread() if own_process else _shared
