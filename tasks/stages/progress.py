"""How far a run is: problems, calls and tokens per second with an estimate of the end; silent without a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from overthink.tasks.stages.driver import Called

terminal: ContextVar[Console | None] = ContextVar("terminal", default=None)


@dataclass
class StageProgress:
    """Counts of one stage, shown on its line."""

    bar: Progress
    line: TaskID
    calls: int = 0
    replayed: int = 0
    tokens: int | None = 0
    started: float = field(default_factory=time.monotonic)

    def on_call(self, called: Called) -> None:
        """Count one answered call."""
        self.calls += 1
        self.replayed += called.replayed
        if not called.replayed:
            self.tokens = None if self.tokens is None or called.tokens is None else self.tokens + called.tokens
        if self.calls % 64 == 0:
            self._show()

    def on_problem(self) -> None:
        """Count one problem done."""
        self.advance(1)

    def advance(self, count: int) -> None:
        """Count `count` problems as done."""
        self.bar.advance(self.line, count)
        self._show()

    def _show(self) -> None:
        if self.calls:
            seconds = max(time.monotonic() - self.started, 1e-9)
            rate = "" if self.tokens is None else f", {self.tokens / seconds:,.0f} tokens/s"
            replayed = f", {self.replayed} replayed" if self.replayed else ""
            self.bar.update(self.line, detail=f"{self.calls} calls{replayed}{rate}")


class RunProgress:
    """The progress display of a run: one line per stage."""

    def __init__(self, console: Console | None) -> None:
        console = console or Console(quiet=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("problems  {task.fields[detail]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the lines until the run ends."""
        with self._bar:
            yield

    def stage(self, name: str, problems: int) -> StageProgress:
        """Begin a stage's line."""
        return StageProgress(self._bar, self._bar.add_task(name, total=problems, detail=""))
