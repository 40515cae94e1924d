"""Lives of a run that are killed at random moments over one store, and what each of them asked the engines.

A test file that is run as a script forks them; `told_by` runs it and reads one line of JSON a store.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_samples import ROOT, forked, status_of, stored_keys

from overthink.storage.stages import Stage
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.engines.sandbox.conversation import Conversation
from overthink.tasks.stages.recorder import Recorder

CLOCK = {"latency_ms", "started_at"}


def note(root: Path, call_key: str) -> None:
    """The key of a call that reached an engine, in a file beside the store that no kill can take back."""
    descriptor = os.open(f"{root}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{os.getpid()} {call_key}\n".encode())
    os.close(descriptor)


def asked(root: Path) -> list[tuple[int, str]]:
    """The process and the key of every call that reached an engine."""
    path = Path(f"{root}.log")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [(int(process), call_key) for process, call_key in map(str.split, lines)]


def noted(root: Path) -> list[str]:
    return [call_key for _, call_key in asked(root)]


asked_key: ContextVar[str | None] = ContextVar("asked_key", default=None)  # of the call that this task will make


def watch_engines(root: Path) -> None:
    """Note the key of every call that reaches an engine: the one its task has just not found in the journal."""
    replay = Recorder.replay

    async def remembered(recorder: Recorder, call_key: str) -> str | None:
        asked_key.set(call_key)
        return await replay(recorder, call_key)

    def watched(answer: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            if (call_key := asked_key.get()) is not None:  # a sandbox is tried by a program that is no call
                note(root, call_key)
            return await answer(*arguments)

        return call

    Recorder.replay = remembered  # type: ignore[assignment, method-assign]
    FakePolicy.generate = watched(FakePolicy.generate)  # type: ignore[method-assign]
    FakePrm.score = watched(FakePrm.score)  # type: ignore[method-assign]
    Conversation.hold = watched(Conversation.hold)  # type: ignore[method-assign]


def journaled(stage: Stage) -> Iterator[str]:
    """The keys of the calls that are safe: in a part, or in a journal."""
    for path in stage.journals.paths():
        yield from stored_keys(path)
    yield from stage.table("calls")["call_key"].to_pylist()


def timeless(row: dict[str, Any]) -> str:
    """A row as text, without what only the clock decides."""
    return json.dumps({column: value for column, value in row.items() if column not in CLOCK}, sort_keys=True)


def has_ended(child: int) -> bool:
    """Whether a process has ended, without waiting or taking note of it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@dataclass(frozen=True)
class Mortal:
    """What is lived over a store: one life, the stages whose calls are safe once journaled, and what is left."""

    live: Callable[[Path], None]
    stages: Callable[[Path], list[Stage]]
    result: Callable[[Path], dict[str, Any]]


class Lives:
    """The lives of one store: how many calls were safe at each violent death, and which of them were asked again."""

    def __init__(self, root: Path, mortal: Mortal) -> None:
        self.root = root
        self.mortal = mortal
        self.deaths: list[int] = []
        self.again: list[str] = []

    def until_killed(self, calls: int, delay: float, sent: signal.Signals = signal.SIGKILL) -> bool:
        """Stop a life some time after so many calls reached its engines; False where it had ended by itself."""
        known, before = self._safe(), len(noted(self.root))
        child = self._born()
        while len(noted(self.root)) < before + calls and not has_ended(child):
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(child, sent)
        status = status_of(child)
        assert status in (0, -sent), "a life fails only by being killed"
        self._take_note(known, before)
        if status != 0:
            self.deaths.append(len(self._safe()))
        return status != 0

    def to_the_end(self) -> dict[str, Any]:
        """One more life, to its natural end; returns all there is to tell."""
        known, before = self._safe(), len(noted(self.root))
        assert status_of(self._born()) == 0
        self._take_note(known, before)
        told = {"deaths": self.deaths, "again": self.again, "asked": noted(self.root)}
        return told | self.mortal.result(self.root)

    def _born(self) -> int:
        def life() -> None:
            # Whoever starts the tests in the background of a shell hands down that Ctrl-C be ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            watch_engines(self.root)
            self.mortal.live(self.root)

        return forked(life)

    def _safe(self) -> set[str]:
        return {call_key for stage in self.mortal.stages(self.root) for call_key in journaled(stage)}

    def _take_note(self, known: set[str], before: int) -> None:
        self.again += [call_key for call_key in noted(self.root)[before:] if call_key in known]


def kill_at_random(
    folder: Path,
    mortal: Mortal,
    kills: int,
    seed: int,
    most_calls: int,
    longest: float,
    signals: Sequence[signal.Signals] = (signal.SIGKILL,),
) -> None:
    """A store that is not killed; then lives killed at random moments, resuming the same store until it is done.

    A life is killed after fewer than `most_calls` calls and at most `longest` seconds more, by one of the signals.
    """
    moments, left, number = random.Random(seed), kills, 0
    print(json.dumps(Lives(folder / "whole", mortal).to_the_end()), flush=True)
    while left:
        lives = Lives(folder / str(number), mortal)
        while left and lives.until_killed(
            moments.randrange(most_calls), moments.uniform(0, longest), moments.choice(signals)
        ):
            left -= 1
        print(json.dumps(lives.to_the_end()), flush=True)
        number += 1


def told_by(script: str, *arguments: object) -> list[dict[str, Any]]:
    """What a test file prints as a script: a line a store, the one that was never killed first."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
