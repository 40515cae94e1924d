"""How far a run is, from what its processes say: the same words in a terminal, a log, `status` and the viewer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from overthink.storage.live_reports import LiveReport, Spending, StageReport
from overthink.tasks.counted import counted
from overthink.tasks.terminal_text import printable

SILENT_SECONDS = 30.0  # a process says something every second, also while it loads a model


@dataclass(frozen=True)
class RunView:
    """A run that is being made. Times left are seconds, None where nothing is known that they follow from.

    `workers` are the processes at work on its stage; `later_unknown` are the stages that `run_left` leaves out.
    """

    workers: tuple[LiveReport, ...]
    stage: StageReport | None
    stage_left: float | None
    run_left: float | None
    later_unknown: tuple[str, ...]
    spent: Spending
    silent_for: float

    @property
    def is_silent(self) -> bool:
        """Whether no process has said anything for so long that none seems to be at work."""
        return self.silent_for > SILENT_SECONDS or not self.workers


def view_of(reports: Sequence[LiveReport], now: float) -> RunView | None:
    """What several processes say together at a time, in seconds since 1970; None where none ever said anything."""
    if not reports:
        return None
    # What is said to be written later than now, by a clock that was set back, counts as written now: else it would make
    # the words of all others look old.
    latest = min(now, max(report.written_at for report in reports))
    speaking = [one for one in reports if not one.has_ended and latest - one.written_at <= SILENT_SECONDS]
    # All go through the same stages; one that is ahead waits there for the others.
    first = min((one.stage.number or 0 for one in speaking if one.stage is not None), default=None)
    workers = [one for one in speaking if one.stage is not None and (one.stage.number or 0) == first]
    spent = sum((report.spent for report in reports), Spending())
    silent_for = now - latest
    if not workers:
        return RunView(tuple(speaking), None, None, None, (), spent, silent_for)
    stage = _together(workers, reports)
    left = _stage_left(stage, silent_for)
    later = _harmonic([one.later_seconds for one in workers])
    run_left = None if left is None else left + later
    return RunView(tuple(workers), stage, left, run_left, workers[0].later_unknown, spent, silent_for)


def _together(workers: Sequence[LiveReport], reports: Iterable[LiveReport]) -> StageReport:
    """One stage as several processes make it; parts that dead processes wrote count, but not what they had in hand."""
    alive = [one.stage for one in workers if one.stage is not None]
    title = alive[0].title
    every = [one.stage for one in reports if one.stage is not None and one.stage.title == title]
    first = min(every, key=lambda stage: stage.began_at)
    return replace(
        first,
        stored=sum(stage.stored for stage in every),
        in_hand=sum(stage.in_hand for stage in alive),
        under_way=sum(stage.under_way for stage in alive),
        rate=_sum_of([stage.rate for stage in alive]),
        tokens_per_second=_sum_of([stage.tokens_per_second for stage in alive]),
        in_flight=sum(stage.in_flight for stage in alive),
        loading=next((stage.loading for stage in alive if stage.loading is not None), None),
    )


def done(stage: StageReport) -> int:
    """How many problems of a stage are done."""
    return min(stage.problems, stage.found + stage.stored + stage.in_hand)


def _stage_left(stage: StageReport, since: float = 0.0) -> float | None:
    """The seconds that a stage will take at its rate, `since` seconds after its report; None where it has none yet."""
    if not stage.rate:
        return None
    return max(0.0, (stage.problems - done(stage) - stage.under_way) / stage.rate - since)


def _harmonic(seconds: Sequence[float]) -> float:
    """How long work takes that each of several processes would do alone in so many seconds."""
    return 0.0 if 0.0 in seconds else 1 / sum(1 / each for each in seconds)


def _sum_of(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def where(view: RunView) -> str:
    """The stage: `stage 3 of 8: search beam_search-n16-m4, loading abacus-prm`."""
    if view.stage is None:
        return "between two stages"
    number = "" if view.stage.number is None else f"stage {view.stage.number} of {view.stage.of}: "
    loading = "" if view.stage.loading is None else f", loading {view.stage.loading}"
    return _one_line(f"{number}{view.stage.title}{loading}")


def figures(view: RunView) -> list[str]:
    """What is known beside the stage's name, a line each: progress, time left, what was spent."""
    lines = [] if view.stage is None else [_progress(view.stage), _time_left(view)]
    return [_one_line(line) for line in (*lines, spent_words(view.spent)) if line]


def _one_line(text: str) -> str:
    """Text of a report, whose names may hold anything, made safe for a terminal and a log."""
    return printable(text).replace("\n", "\\n")


def live_lines(reports: Sequence[LiveReport], is_held: bool, now: float) -> list[str]:
    """How far a run or a sweep is, or was when it was stopped, a line each fact; `is_held`: a process has its lock."""
    view = view_of(reports, now)
    if view is None:
        return []
    if not is_held or view.is_silent:
        return [_silence(view, is_held), *stopped_figures(view)]
    shared = f", {len(view.workers)} processes" if len(view.workers) > 1 else ""
    return [f"{where(view)}{shared}", *figures(view), *each_process(view)]


def _silence(view: RunView, is_held: bool) -> str:
    if is_held:
        return f"no word for {ago(view.silent_for)}, though a process holds it; it was at {where(view)}"
    if view.stage is None:
        return f"stopped {ago(view.silent_for)} ago; the same command resumes it"
    return f"stopped: no word for {ago(view.silent_for)}; it was at {where(view)}; the same command resumes it"


def stopped_figures(view: RunView) -> list[str]:
    """What is known of a run that is not being made: how far its stage was, what was spent."""
    progress = "" if view.stage is None else f"{done(view.stage):,} of {counted(view.stage.problems, view.stage.unit)}"
    return [_one_line(line) for line in (progress, spent_words(view.spent)) if line]


def each_process(view: RunView) -> list[str]:
    """Of several processes, what each is doing."""
    if len(view.workers) < 2:
        return []
    stages = [(one, one.stage) for one in view.workers if one.stage is not None]
    return [_one_line(f"process {one.pid} on {one.host}: {_alone(stage)}") for one, stage in stages]


def _alone(stage: StageReport) -> str:
    made = stage.stored + stage.in_hand
    words = [f"{counted(made, stage.unit)} done", *_pace(stage)]
    return ", ".join(words) + ("" if stage.loading is None else f", loading {stage.loading}")


def in_a_line(view: RunView) -> str:
    """All of it in one line."""
    return "; ".join((where(view), *figures(view)))


def _progress(stage: StageReport) -> str:
    return ", ".join([f"{done(stage):,} of {counted(stage.problems, stage.unit)}", *_pace(stage)])


def _pace(stage: StageReport) -> list[str]:
    words = []
    if stage.tokens_per_second is not None:
        words.append(f"{_rounded(stage.tokens_per_second)} tokens/s")
    if stage.in_flight:
        words.append(f"{stage.in_flight:,} in flight")
    return words


def _time_left(view: RunView) -> str:
    if view.stage_left is None:
        return "time left unknown"
    left = clock(view.stage_left) if view.stage_left >= 1 else "under 1 s"
    return f"{left} left of the stage{_run_left(view, view.stage_left)}"


def _run_left(view: RunView, stage_left: float) -> str:
    """What is left of the run, in words; without a number where nothing is known of the stages to come."""
    if view.stage is None or view.stage.of is None or view.run_left is None:
        return ""
    if view.run_left - stage_left >= 1:
        more = f" or more ({_listed(view.later_unknown)} unknown)" if view.later_unknown else ""
        return f", of the run {clock(view.run_left)}{more}"
    if view.later_unknown:
        return f", of the run unknown ({_listed(view.later_unknown)})"
    return f", of the run {clock(view.run_left)}" if view.run_left >= 1 else ""


def spent_words(spent: Spending) -> str:
    """What was spent so far; nothing where no engine was asked."""
    words = []
    for amount, what in ((spent.policy_tokens, "tokens written"), (spent.prm_tokens, "read by the PRM")):
        if amount != 0:
            words.append(f"{'unknown' if amount is None else f'{amount:,}'} {what}")
    if spent.gpu_seconds:
        words.append(f"{spent.gpu_seconds / 3600:,.2f} GPU hours")
    elif spent.engine_seconds:
        words.append(f"engines at work for {clock(spent.engine_seconds)}")
    return f"so far {', '.join(words)}" if words else ""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: `1:05:09`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def ago(seconds: float) -> str:
    """A time roughly, in its largest unit: `3 min`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _listed(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
