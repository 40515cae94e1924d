"""How far a run is: in the terminal, in the log, and in a file for other shells.

Calls only add to counters (`shard_counts.py`); all that is shown is computed in a thread, once a second.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from overthink.storage.live_reports import LiveReport, LiveReports, Spending, StageReport
from overthink.storage.storage_errors import StorageError
from overthink.tasks.counted import counted
from overthink.tasks.stages.live_view import RunView, done, figures, in_a_line, view_of, where
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.stage_progress import StagePlace, StageProgress, Watch
from overthink.tasks.stages.stages_ahead import Alike, StageAhead, what_was_found

logger = logging.getLogger(__name__)

LOOK_SECONDS, WRITE_SECONDS, LINE_SECONDS = 0.25, 1.0, 60.0

terminal: ContextVar[Console | None] = ContextVar("terminal", default=None)


class RunProgress:
    """The progress of a run or a sweep in this process; `reports` are the run's, None where nobody reads them."""

    def __init__(self, console: Console | None, reports: LiveReports | None = None) -> None:
        self._console = console
        self._reports = reports
        self._is_writing = False
        self._stage: StageProgress | None = None
        self._ahead: dict[StageNode, StageAhead] = {}
        self._now: StageAhead | None = None  # the one that is being made
        self._count = 0
        self._seconds: dict[Alike, float] = {}  # that a sample took in the stages that are done
        self._spent = Spending()  # in earlier lives, and by the stages that are done
        self._began_at = time.time()
        self._stopped = threading.Event()
        self._live: Live | None = None

    def begin(self) -> None:
        """Take over what earlier lives of the run had spent. The caller alone writes the run."""
        if self._reports is not None:
            self._spent = self._reports.clear()

    def plan(self, ahead: Mapping[StageNode, StageAhead]) -> None:
        """Say what was found, and number the stages that are to come."""
        self._ahead, self._count, self._is_writing = dict(ahead), len(ahead), True
        found = what_was_found(list(ahead.values()))
        if found is not None:
            self.say(f"resuming: {found}")
        logger.info("%s", found or f"found nothing of {len(ahead)} stages")

    def keep(self, nodes: Collection[StageNode]) -> None:
        """Leave only these stages to come: others are made, or cannot be made."""
        self._ahead = {node: ahead for node, ahead in self._ahead.items() if node in nodes}

    def say(self, line: str) -> None:
        """Print a line above what is shown."""
        if self._console is not None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show, log and report how far the run is until the block ends."""
        if self._console is not None and self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        looking = threading.Thread(target=self._keep_looking, daemon=True, name="progress")
        looking.start()
        try:
            yield
        except BaseException:
            self._stop(looking)
            self._write(has_ended=True)
            raise
        self._stop(looking)
        self._clear()

    def _stop(self, looking: threading.Thread) -> None:
        self._stopped.set()
        looking.join()
        if self._live is not None:
            self._live.stop()

    def _clear(self) -> None:
        """Leave no report of a run that is complete."""
        if self._is_writing and self._reports is not None:
            try:
                self._reports.clear()
            except StorageError as error:
                logger.warning("the reports of a complete run stay: %s", error)

    @contextmanager
    def stage(
        self, place: StagePlace, node: StageNode | None = None, watch: Watch | None = None
    ) -> Iterator[StageProgress]:
        """A stage in progress, `node` of those that were planned; numbered among them."""
        ahead = None if node is None else self._ahead.get(node)
        if ahead is not None:
            number = self._count - len(self._ahead) + 1
            place = replace(place, number=number, of=self._count, gpus=ahead.gpus)
        self._now, stage = ahead, StageProgress(place, watch or Watch())
        self._stage = stage
        found = f"{place.found:,} of {counted(place.size, place.unit)} found done"
        logger.info("stage %s of %s: %s begins, %s", place.number, place.of, place.title, found)
        try:
            yield stage
        finally:
            stage.look()
            self._now = self._stage = None
            self._spent += stage.spent
            self._learn(stage, ahead)
            logger.info("%s: %s", place.title, stage.said())
        if self._live is not None:
            self._live.update(Text(""))
            self.say(f"{place.title}: {stage.said()}")

    def report(self, has_ended: bool = False) -> LiveReport:
        """What this process says now."""
        stage = self._stage
        later, unknown = self._later()
        return LiveReport(
            pid=os.getpid(),
            host=socket.gethostname(),
            began_at=self._began_at,
            written_at=time.time(),
            spent=self._spent if stage is None else self._spent + stage.spent,
            stage=None if stage is None or has_ended else self._report(stage),
            later_seconds=later,
            later_unknown=unknown,
            has_ended=has_ended,
        )

    def _report(self, stage: StageProgress) -> StageReport:
        """How far a stage is; until it has a rate of its own, that of the stages before that are like it."""
        report, now = stage.report(), self._now
        if report.rate is None and now is not None and now.alike in self._seconds:
            return replace(report, rate=1 / (self._seconds[now.alike] * now.n))
        return report

    def _learn(self, stage: StageProgress, ahead: StageAhead | None) -> None:
        seconds = stage.seconds_a_problem
        if ahead is not None and seconds is not None:
            self._seconds[ahead.alike] = seconds / ahead.n

    def _later(self) -> tuple[float, tuple[str, ...]]:
        """What the stages to come will take, and the kinds of those of which nothing is known."""
        now, stage = self._now, self._stage
        if stage is not None:
            self._learn(stage, now)
        lacking = [ahead for ahead in list(self._ahead.values()) if ahead.samples and ahead is not now]
        kind_now = None if now is None else now.kind  # of which something is known, but not of all its stages
        kinds = (ahead.kind for ahead in lacking if ahead.alike not in self._seconds)
        unknown = dict.fromkeys(f"other {kind}" if kind == kind_now else kind for kind in kinds)
        return sum(ahead.samples * self._seconds.get(ahead.alike, 0.0) for ahead in lacking), tuple(unknown)

    def _keep_looking(self) -> None:
        written = lined = time.monotonic()
        while not self._stopped.wait(LOOK_SECONDS):
            stage, now = self._stage, time.monotonic()
            if stage is not None:
                stage.look()
            if now - written < WRITE_SECONDS:
                continue
            written = now
            view = view_of([self._write()], time.time())
            if view is None:
                continue
            if self._live is not None:
                self._live.update(_drawn(view), refresh=True)
            if now - lined >= LINE_SECONDS:
                lined = now
                self._tell(in_a_line(view))

    def _tell(self, line: str) -> None:
        logger.info("%s", line)
        if self._live is None:
            self.say(f"{time.strftime('%H:%M:%S')} {line}")

    def _write(self, has_ended: bool = False) -> LiveReport:
        report = self.report(has_ended)
        if self._is_writing and self._reports is not None:
            try:
                self._reports.write(report)
            except StorageError as error:  # it is only shown
                self._is_writing = False
                logger.warning("other shells do not see how far this run is: %s", error)
        return report


def _drawn(view: RunView) -> RenderableType:
    """The figures for a terminal, under a bar."""
    lines = [Text(line) for line in (where(view), *figures(view))]
    if view.stage is None:
        return Group(*lines)
    bar = ProgressBar(total=view.stage.problems, completed=done(view.stage))
    return Group(lines[0], Padding(bar), *lines[1:])  # a bar alone ends no line
