"""How far a run is, from what its processes say: one, several, one that was killed; and the words, in 80 columns."""

import json
import os
import time
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from overthink.storage.journal import JournaledCall
from overthink.storage.live_reports import MOST_BYTES, LiveReport, LiveReports, Spending, StageReport, parse_report
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.stages import progress, stage_progress
from overthink.tasks.stages.live_view import ago, clock, in_a_line, live_lines, view_of
from overthink.tasks.stages.progress import RunProgress
from overthink.tasks.stages.stage_progress import StagePlace, StageProgress, Watch
from overthink.tasks.stages.stages_ahead import StageAhead

STAGE = StageReport(
    title="search beam_search-n16-m4",
    number=3,
    of=8,
    began_at=1000.0,
    problems=500,
    found=100,
    stored=20,
    in_hand=10,
    under_way=5.0,
    rate=0.5,
    tokens_per_second=3201.4,
    in_flight=256,
)
REPORT = LiveReport(
    pid=7,
    host="node1",
    began_at=900.0,
    written_at=1100.0,
    spent=Spending(1_234_567, 345_678, 1800.0, 3600.0),
    stage=STAGE,
    later_seconds=1000.0,
    later_unknown=("grade", "select"),
)
LEFT = (500 - 130 - 5) / 0.5


def said(*reports: LiveReport, held: bool = True, now: float = 1100.0) -> list[str]:
    return live_lines(reports, held, now)


def test_one_process_says_all_there_is_to_know() -> None:
    assert said(REPORT) == [
        "stage 3 of 8: search beam_search-n16-m4",
        "130 of 500 problems, 3,201 tokens/s, 256 in flight",
        "0:12:10 left of the stage, of the run 0:28:50 or more (grade and select unknown)",
        "so far 1,234,567 tokens written, 345,678 read by the PRM, 1.00 GPU hours",
    ]


def test_a_model_that_is_loaded_is_named_and_what_is_unknown_is_no_zero() -> None:
    new = replace(STAGE, loading="abacus-prm", found=0, stored=0, in_hand=0, under_way=0, rate=None, in_flight=0)
    begun = replace(new, tokens_per_second=None)
    assert said(replace(REPORT, stage=begun, spent=Spending())) == [
        "stage 3 of 8: search beam_search-n16-m4, loading abacus-prm",
        "0 of 500 problems",
        "time left unknown",
    ]
    assert said(replace(REPORT, spent=Spending(None, 5, 90.0, None)))[-1] == (
        "so far unknown tokens written, 5 read by the PRM, engines at work for 0:01:30"
    )


def test_time_passes_between_a_report_and_its_reader() -> None:
    view = view_of([REPORT], 1110.0)
    assert view is not None and (view.stage_left, view.run_left) == (LEFT - 10, LEFT - 10 + 1000)


def test_processes_that_share_a_run_are_added_up_and_told_apart() -> None:
    # The second joined when the first had written 20; both are at the stage's end together.
    late = replace(STAGE, began_at=1050.0, found=120, stored=0, in_hand=40, under_way=0.0, rate=1.5)
    lines = said(REPORT, replace(REPORT, pid=9, host="node2", stage=late, later_seconds=1000.0))
    assert lines[0] == "stage 3 of 8: search beam_search-n16-m4, 2 processes"
    assert lines[1] == "170 of 500 problems, 6,403 tokens/s, 512 in flight"
    left = (500 - 170 - 5) / 2.0
    assert lines[2].startswith(f"{clock(left)} left of the stage, of the run {clock(left + 500)} or more")
    assert lines[4:] == [
        "process 7 on node1: 30 problems done, 3,201 tokens/s, 256 in flight",
        "process 9 on node2: 40 problems done, 3,201 tokens/s, 256 in flight",
    ]


def test_of_a_process_that_was_killed_only_the_stored_parts_count() -> None:
    dead = replace(REPORT, pid=9, written_at=1000.0, stage=replace(STAGE, began_at=1001.0, stored=50, in_hand=9))
    lines = said(REPORT, dead)
    assert lines[0] == "stage 3 of 8: search beam_search-n16-m4", "one process is left"
    assert lines[1].startswith("180 of 500 problems, 3,201 tokens/s")
    assert "2,469,134 tokens written" in lines[3], "what it had spent is spent"


def test_a_killed_run_is_told_from_one_that_works() -> None:
    assert said(REPORT, held=False, now=1100.0 + 185) == [
        "stopped: no word for 3 min; it was at stage 3 of 8: search beam_search-n16-m4; the same command resumes it",
        "130 of 500 problems",
        "so far 1,234,567 tokens written, 345,678 read by the PRM, 1.00 GPU hours",
    ]
    hung = said(REPORT, now=1100.0 + 185)
    assert hung[0].startswith("no word for 3 min, though a process holds it; it was at stage 3 of 8")
    assert said(replace(REPORT, stage=None, has_ended=True), held=False, now=1100.0 + 7200)[0] == (
        "stopped 2 h ago; the same command resumes it"
    )


def test_words_of_times() -> None:
    assert [ago(seconds) for seconds in (2.4, 59, 60, 185, 7200, 200_000)] == [
        "2 s",
        "59 s",
        "1 min",
        "3 min",
        "2 h",
        "2 d",
    ]
    assert [clock(seconds) for seconds in (0, 0.4, 59.6, 3909)] == ["0:00:00", "0:00:00", "0:01:00", "1:05:09"]


def test_reports_are_replaced_whole_and_those_of_other_versions_are_left_out(tmp_path: Path) -> None:
    reports = LiveReports(tmp_path / "live")
    assert reports.read() == []
    reports.write(replace(REPORT, written_at=1.0))
    reports.write(REPORT)
    assert reports.read() == [REPORT]
    (tmp_path / "live" / "node3-1.json").write_text('{"pid": 1, "mood": "good"}')
    (tmp_path / "live" / "node4-1.json").write_text('{"pid": 1')
    assert reports.read() == [REPORT]
    assert reports.clear() == REPORT.spent
    assert not (tmp_path / "live").exists()


@pytest.mark.parametrize(
    ("part", "name", "number"),
    [
        *(("", "later_seconds", number) for number in (float("inf"), float("nan"), -5.0, 1e300)),
        *(("", "written_at", number) for number in (float("inf"), float("-inf"), float("nan"), -1.0)),
        *(("stage", "rate", number) for number in (1e-320, -1.0, 0.0, float("nan"), float("inf"))),
        *(("stage", "problems", number) for number in (10**400, -1)),
        ("stage", "stored", -1000),
        ("stage", "under_way", float("nan")),
        ("stage", "tokens_per_second", float("nan")),
        ("spent", "policy_tokens", -5),
        ("spent", "engine_seconds", float("inf")),
        ("spent", "gpu_seconds", float("inf")),
    ],
)
def test_a_report_with_a_number_that_cannot_be_is_none(part: str, name: str, number: float) -> None:
    content = asdict(REPORT)
    assert parse_report(json.dumps(content)) == REPORT
    (content[part] if part else content)[name] = number
    assert parse_report(json.dumps(content)) is None


def test_only_small_regular_files_are_reports(tmp_path: Path) -> None:
    reports = LiveReports(tmp_path)
    reports.write(REPORT)
    (tmp_path / "a.json").mkdir()
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").symlink_to(tmp_path / "c.json")
    (tmp_path / "d.json").write_text(REPORT.to_json() + " " * MOST_BYTES)
    assert reports.read() == [REPORT]


def test_a_clock_that_is_ahead_hides_nobody() -> None:
    ahead = replace(REPORT, pid=9, written_at=1100.0 + 3600)
    view = view_of([ahead, REPORT], 1100.0)
    assert view is not None and [one.pid for one in view.workers] == [9, 7] and view.silent_for == 0


def test_a_report_from_the_future_is_as_old_as_its_file(tmp_path: Path) -> None:
    reports, now = LiveReports(tmp_path), time.time()
    reports.write(replace(REPORT, written_at=now + 3600))
    os.utime(tmp_path / REPORT.name, (now - 200, now - 200))
    view = view_of(reports.read(), now)
    assert view is not None and view.silent_for == pytest.approx(200, abs=0.1) and view.is_silent


def test_control_sequences_of_a_report_are_shown_as_text() -> None:
    title, ring = "\x1b[2J\x1b]0;mine\x07[red]x\nstage 9", "\x1b[31mnode\x07"
    hostile = replace(REPORT, host=ring, stage=replace(STAGE, title=title, unit=ring, loading=ring))
    hostile = replace(hostile, later_unknown=(ring,))
    alive = said(hostile, replace(hostile, pid=9))
    assert alive[0].startswith(r"stage 3 of 8: \x1b[2J\x1b]0;mine\x07[red]x\nstage 9, loading \x1b[31mnode\x07")
    view = view_of([hostile], 1100.0)
    assert view is not None
    for line in (*alive, *said(hostile, held=False), in_a_line(view)):
        assert line.isprintable()


def left_words(stage_left: float, later: float, *unknown: str) -> str:
    stage = replace(STAGE, problems=100, found=100 - int(stage_left), stored=0, in_hand=0, under_way=0.0, rate=1.0)
    return said(replace(REPORT, stage=stage, later_seconds=later, later_unknown=unknown))[2]


def test_no_number_says_that_nothing_is_left_or_known() -> None:
    assert left_words(0, 0, "score", "grade") == "under 1 s left of the stage, of the run unknown (score and grade)"
    assert left_words(9, 0, "score") == "0:00:09 left of the stage, of the run unknown (score)"
    assert left_words(0, 60, "score") == "under 1 s left of the stage, of the run 0:01:00 or more (score unknown)"
    assert left_words(0, 0) == "under 1 s left of the stage"
    assert left_words(9, 0) == "0:00:09 left of the stage, of the run 0:00:09"


def test_of_the_kind_of_the_stage_in_progress_only_the_others_are_unknown() -> None:
    running = RunProgress(None)
    kinds: list[Any] = [(StageKind.SEARCH, "dvts"), (StageKind.SEARCH, "beam_search"), (StageKind.GRADE, None)]
    running.plan({object(): StageAhead(kind, 1, 1, 0, 10, 0) for kind in kinds})  # type: ignore[misc]
    assert running.report().later_unknown == ("search", "grade")
    with running.stage(StagePlace("search dvts", 10), next(iter(running._ahead))):
        assert running.report().later_unknown == ("other search", "grade")


# What a process counts and computes


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1000 + self.now


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moving = Clock()
    monkeypatch.setattr(stage_progress, "time", moving)
    return moving


def call(problem: str, seconds: float, tokens: int | None = 10) -> JournaledCall:
    return JournaledCall("key", problem, problem, 0, "generate", "policy", "{}", 5, 0, tokens, 1000 * seconds, 0.0)


def test_requests_in_flight_count_by_their_age(moments: Clock) -> None:
    """20 problems of two calls, 10 calls at once of 4 s each: after 6 s, 15 of 40 calls are done."""
    stage = StageProgress(StagePlace("sample", 20), Watch(in_flight=lambda: 10))
    counts = stage.shard()
    for moment in range(1, 7):
        moments.now = float(moment)
        stage.look()
        if moment == 4:
            for problem in range(5):
                for _ in range(2):
                    counts.call(call(str(problem), 4.0))
                counts.problem(str(problem))
    report = stage.report()
    assert (report.in_hand, report.under_way, report.rate) == (5, 2.5, pytest.approx(7.5 / 6))
    assert report.tokens_per_second == pytest.approx(150 / 6)
    assert stage.spent == Spending(100, 0, 6.0, None)


def test_requests_whose_answers_vary_say_nothing_by_their_age(moments: Clock) -> None:
    stage = StageProgress(StagePlace("sample", 20), Watch(in_flight=lambda: 10))
    counts = stage.shard()
    moments.now = 4.0
    stage.look()
    counts.call(call("0", 1.0))
    counts.problem("0")
    assert (stage.report().under_way, stage.report().rate) == (0.0, 0.25), "40 s in flight, of answers of 1 s"


def test_what_was_found_is_done_and_is_not_this_lifes_rate(moments: Clock) -> None:
    """100 problems of two calls: 60 are in parts, of 10 a journal holds all calls, of 10 more one."""
    stage = StageProgress(StagePlace("sample", 100, found=60), Watch())
    counts = stage.shard()
    for problem in range(20):
        counts.replay(str(problem))
        if problem < 10:
            counts.replay(str(problem))
            counts.problem(str(problem))
    moments.now = 5.0
    stage.look()
    report = stage.report()
    assert (report.found, report.in_hand, report.under_way) == (60, 10, 5.0)
    assert report.rate is None, "nothing was answered yet"
    for problem in range(10, 20):
        counts.call(call(str(problem), 5.0))
        counts.problem(str(problem))
    report = stage.report()
    assert (report.in_hand, report.under_way, report.rate) == (20, 0.0, pytest.approx(1.0)), "10 calls in 5 s"


def test_loading_an_engine_takes_nothing_from_the_rate(moments: Clock) -> None:
    loading: list[str | None] = ["abacus-1m"]
    stage = StageProgress(StagePlace("sample", 10), Watch(loading=lambda: loading[0]))
    moments.now = 30.0
    stage.look()
    assert stage.report().loading == "abacus-1m"
    loading[0] = None
    moments.now = 32.0
    stage.look()
    counts = stage.shard()
    counts.call(call("0", 2.0))
    counts.problem("0")
    assert stage.report().rate == pytest.approx(0.5)


def test_a_shard_whose_engine_died_counts_its_problems_once(moments: Clock) -> None:
    stage = StageProgress(StagePlace("sample", 3), Watch())
    counts = stage.shard()
    for _ in range(2):
        counts.again()
        counts.call(call("0", 1.0))
        counts.problem("0")
        counts.replay("1")
    assert (stage.report().in_hand, counts.calls_of_done, dict(counts.open_calls)) == (1, 1, {"1": 1})
    moments.now = 1.0


def test_unknown_tokens_stay_unknown() -> None:
    stage = StageProgress(StagePlace("sample", 3), Watch())
    counts = stage.shard()
    counts.call(call("0", 1.0, tokens=None))
    counts.call(call("0", 1.0))
    assert stage.spent.policy_tokens is None and stage.report().tokens_per_second is None
    assert "tokens unknown" in stage.said()


# What a terminal shows


def test_a_terminal_of_80_columns_cuts_nothing() -> None:
    large = replace(STAGE, title="search compute_optimal-n256-pilot", problems=12_500, tokens_per_second=1_234_567.0)
    view = view_of([replace(REPORT, stage=large, spent=Spending(123_456_789_012, 98_765_432_109, 1.0, 9e7))], 1100.0)
    assert view is not None
    paper = StringIO()
    Console(file=paper, width=80, force_terminal=True, color_system=None).print(progress._drawn(view))
    title, bar, *lines = [line.rstrip() for line in paper.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80 and set(bar) <= set("━╸╺ ")
    assert " ".join([title, *lines]) == in_a_line(view).replace(";", "")


def test_a_stage_that_is_done_leaves_a_line_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.01)
    paper = StringIO()
    console = Console(file=paper, width=80, force_terminal=True, color_system=None)
    running = RunProgress(console)
    with running.shown(), running.stage(StagePlace("train", 4, unit="update")) as stage:
        stage.advance(4)
        time.sleep(0.1)
    assert "4 of 4 updates" in paper.getvalue()
    assert "\ntrain: 4 updates in" in paper.getvalue().replace("\x1b[2K", "\n")


def test_no_terminal_gets_a_line_now_and_then_and_the_log_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("LOOK_SECONDS", "WRITE_SECONDS", "LINE_SECONDS"):
        monkeypatch.setattr(progress, name, 0.01)
    caplog.set_level("INFO", "overthink")
    paper = StringIO()
    running = RunProgress(Console(file=paper, width=120))
    with running.shown(), running.stage(StagePlace("train", 4, unit="update")) as stage:
        stage.advance(2)
        time.sleep(0.1)
    lines = paper.getvalue().splitlines()
    assert lines and all(line[8:].startswith(" train; 2 of 4 updates; ") for line in lines)
    assert any(message.startswith("train; 2 of 4 updates; ") for message in caplog.messages)


def test_a_folder_that_cannot_be_written_is_told_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.01)
    (tmp_path / "live").write_text("in the way")
    running = RunProgress(None, LiveReports(tmp_path / "live"))
    running.plan({})
    with running.shown(), running.stage(StagePlace("train", 4)):
        time.sleep(0.1)
    warnings: list[Any] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "other shells do not see how far this run is" in warnings[0].getMessage()
