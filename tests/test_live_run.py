"""A run says how far it is while it is made: as lines without a terminal, in its log, and what a resumed one found."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from storage_samples import forked, status_of

from overthink.flows.commands.terminal import LEAKS, quiet
from overthink.storage.journal import Journal
from overthink.storage.live_reports import LiveReport, Spending, StageReport
from overthink.storage.store import Store
from overthink.tasks.stages import progress

pytestmark = pytest.mark.usefixtures("address")

WATCHED = """
from overthink.flows.commands.cli import app
from overthink.tasks.stages import progress
progress.LOOK_SECONDS = progress.WRITE_SECONDS = progress.LINE_SECONDS = 0.02
app(prog_name="overthink")
"""


def recipe(folder: Path, **changes: Any) -> Path:
    described: dict[str, Any] = {
        "name": "watched",
        "problems": {"source": "chains", "split": "test", "count": 8},
        "policy": {"engine": "fake", "latency_ms": 200},
        "prm": {"engine": "fake"},
        "methods": [{"method": "best_of_n", "n": 4}],
        "budgets": [1, 4],
        "sampling": {"max_tokens": 256},
        "shard_size": 4,
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(described | changes))
    return path


def log_of(store: Path) -> str:
    (log,) = store.glob("runs/*/run.log")
    return log.read_text(encoding="utf-8")


def in_a_process(*words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: who logs where in this one depends on the tests before."""
    command = [sys.executable, "-c", WATCHED, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | environment)


def test_a_run_without_a_terminal_prints_lines_and_logs_its_shards(tmp_path: Path) -> None:
    made = in_a_process("run", recipe(tmp_path), "--store", tmp_path / "store")
    assert made.returncode == 0, made.stderr
    pattern = r"\d\d:\d\d:\d\d stage 1 of 4: sample best_of_n-n4; \d of 8 problems, .*in flight; .*time left unknown"
    assert re.search(pattern, made.stdout)
    log = log_of(tmp_path / "store")
    assert "found nothing of 4 stages" in log
    assert re.search(
        r"sample best_of_n-n4: part 2 is stored: 4 problems, 16 calls, \d+ tokens in .* s, .* tokens/s", log
    )
    assert re.search(r"score best_of_n-n4: 8 problems, \d+ calls, [\d,]+ tokens in .* s, .* tokens/s", log)
    assert "grade best_of_n-n4: part 1 is stored: 4 problems in" in log
    assert re.search(r"stage 1 of 4: sample best_of_n-n4; \d of 8 problems", log), "the lines are in the log too"
    assert not list((tmp_path / "store").glob("runs/*/live")), "a complete run has nothing to say"


def test_a_run_again_says_in_a_line_that_it_is_complete(tmp_path: Path) -> None:
    words = ("run", recipe(tmp_path, policy={"engine": "fake"}), "--store", tmp_path / "store")
    assert "found" not in overthink(*words).stdout
    (line, *_) = overthink(*words).stdout.splitlines()
    assert re.fullmatch(r"watched-\w+: complete since \d{4}-\d\d-\d\d \d\d:\d\d UTC, nothing to do", line)


def test_a_resumed_run_says_in_a_line_what_it_found(tmp_path: Path) -> None:
    store, path = tmp_path / "store", recipe(tmp_path, shard_size=2)
    words = ("run", path, "--store", store)
    assert in_a_process(*words, FORCE_COLOR="1").returncode == 0
    assert "\x1b" not in log_of(store), "a log has no colours, whatever the terminal is said to show"
    (stage,) = store.glob("stages/sample-*")
    lost = sorted((stage / "manifest").glob("*.json"))[0]
    lost.unlink()
    (run_json,) = store.glob("runs/*/run.json")
    run = Store(store).runs()[0]
    Store(store).write_run(type(run)(**{**vars(run), "status": "failed"}))
    Store(store).reports(run.run_id).write(_ended(Spending(1000, 0, 5.0, 0.0)))
    assert run_json.exists()
    made = in_a_process(*words)
    assert made.returncode == 0, made.stderr
    found = re.search(
        r"resuming: (found 3 of 4 stages done, 12 of 13 parts, 0 answered calls in journals)", made.stdout
    )
    assert found and found.group(1) in log_of(store)
    assert "stage 1 of 4: sample best_of_n-n4 begins, 6 of 8 problems found done" in log_of(store)


def _ended(spent: Spending) -> LiveReport:
    return LiveReport(1, "gone", 0.0, 1.0, spent, has_ended=True)


def test_what_earlier_lives_spent_is_taken_over(tmp_path: Path) -> None:
    reports = Store(tmp_path).reports("run-1")
    reports.write(_ended(Spending(1000, 10, 5.0, None)))
    running = progress.RunProgress(None, reports)
    running.begin()
    running.plan({})
    assert running.report().spent == Spending(1000, 10, 5.0, None)
    assert reports.read() == []


def test_status_tells_a_dead_run_from_a_living_one(tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert overthink("run", recipe(tmp_path, policy={"engine": "fake"}), "--store", store).returncode == 0
    opened = Store(store)
    run = opened.runs()[0]
    opened.write_run(type(run)(**{**vars(run), "status": "running", "finished_at": None}))
    stage = StageReport("sample best_of_n-n4", 1, 4, 0.0, problems=8, found=4, stored=2, rate=1.0)
    opened.reports(run.run_id).write(LiveReport(1, "gone", 0.0, progress.time.time() - 200, Spending(), stage))
    dead = overthink("status", "--store", store).stdout
    assert "interrupted" in dead
    assert f"{run.run_id}: stopped: no word for 3 min; it was at stage 1 of 4: sample best_of_n-n4" in dead
    assert "  6 of 8 problems\n" in dead
    opened.reports(run.run_id).write(LiveReport(1, "gone", 0.0, progress.time.time(), Spending(), stage))
    with opened.lock_run(run.run_id):
        alive = overthink("status", "--store", store).stdout
    assert f"{run.run_id}: stage 1 of 4: sample best_of_n-n4\n  6 of 8 problems\n" in alive
    assert "0:00:02 left of the stage" in alive


def test_status_fits_80_columns_in_what_it_says_of_a_run(tmp_path: Path) -> None:
    stage = StageReport("search beam_search-n16-m4", 3, 8, 0.0, 500, 100, 20, rate=0.5, in_flight=256)
    report = LiveReport(1, "host", 0.0, progress.time.time(), Spending(1_234_567, 345_678, 9.0, 9e4), stage, 100.0)
    store = Store(tmp_path)
    store.reports("run-1").write(report)
    assert max(map(len, progress.figures(progress.view_of(store.reports("run-1").read(), report.written_at)))) <= 78  # type: ignore[arg-type]


def test_calls_of_a_journal_are_counted_unless_somebody_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "shard.sqlite"
    assert Journal.count(path) is None and not path.exists()
    path.touch()
    assert Journal.count(path) == 0, "its process was killed before it had made the table"
    writing = Journal(path)
    assert status_of(forked(lambda: os._exit(0 if Journal.count(path) is None else 1))) == 0
    writing.close()


LEAK = """
from multiprocessing import resource_tracker
resource_tracker.register("/a-semaphore-of-nobody", "semaphore")
"""


@pytest.mark.parametrize("is_quiet", [True, False])
def test_what_other_libraries_leave_behind_is_not_in_the_log(
    is_quiet: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    if is_quiet:
        monkeypatch.setenv("PYTHONWARNINGS", "ignore::DeprecationWarning")
        quiet()
        assert os.environ["PYTHONWARNINGS"] == f"ignore::DeprecationWarning,{LEAKS}"
    log = tmp_path / "run.log"
    with log.open("wb") as stream:
        subprocess.run([sys.executable, "-c", LEAK], stderr=stream, check=True, timeout=60)
    _until(lambda: is_quiet or "leaked" in log.read_text())
    assert ("leaked" in log.read_text()) != is_quiet


def _until(holds: Callable[[], bool]) -> None:
    end = progress.time.monotonic() + 20
    while not holds() and progress.time.monotonic() < end:
        progress.time.sleep(0.05)
