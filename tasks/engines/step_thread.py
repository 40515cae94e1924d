"""The thread that steps engines: those that share our process take turns on one, since vLLM's state there is global."""

import threading
from typing import Protocol


class Stepped(Protocol):
    """An engine that is carried forward a step at a time."""

    def turn(self) -> bool:
        """Load, take in requests or compute a step; False where there was nothing to do."""
        ...

    @property
    def done(self) -> bool:
        """Whether it has been closed or has died: it wants no more turns."""
        ...


class StepThread:
    """A daemon thread that gives each of its engines a turn, round and round, and sleeps where none has work."""

    def __init__(self) -> None:
        self._engines: list[Stepped] = []
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
            busy = [engine.turn() for engine in list(self._engines)]
            with self._lock:
                self._engines = [engine for engine in self._engines if not engine.done]
                if not self._engines:
                    self._running = False
                    return
            if not any(busy):
                self._woken.wait()


_shared = StepThread()


def step_thread(own_process: bool) -> StepThread:
    """The thread for an engine whose core runs in a process of its own, or the one that all others share."""
    return StepThread() if own_process else _shared
