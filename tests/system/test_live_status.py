"""`overthink status` beside a run: at half time it says what is true at the end; runs killed, resumed, shared."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commanding import overthink
from test_live_run import recipe as watched

from overthink.storage.sql import query
from overthink.storage.store import Store

pytestmark = pytest.mark.usefixtures("address")

COMMAND = str(Path(sys.executable).parent / "overthink")
PROBLEMS, LATENCY = 256, 9.0  # as many calls as are in flight at once


def recipe(folder: Path, **changes: Any) -> Path:
    slow: dict[str, Any] = {
        "problems": {"source": "chains", "split": "train", "count": PROBLEMS},
        "policy": {"engine": "fake", "latency_ms": 1000 * LATENCY},
        "methods": [{"method": "best_of_n", "n": 4}, {"method": "cot"}],
        "shard_size": 32,
    }
    return watched(folder, **slow | changes)


@contextmanager
def running(path: Path, store: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [COMMAND, "run", str(path), "--store", str(store), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def status(store: Path) -> str:
    return overthink("status", "--store", store).stdout


def until(said: Callable[[str], object], store: Path, seconds: float = 120.0) -> str:
    """What `status` says once it is what is awaited."""
    end = time.monotonic() + seconds
    while not said(now := status(store)):
        assert time.monotonic() < end, now
        time.sleep(0.1)
    return now


@dataclass(frozen=True)
class Said:
    """What `status` said of the first stage at a time."""

    at: float
    done: int
    rate: float
    stage_left: float
    run_left: float


LINES = re.compile(
    r"stage 1 of 8: sample best_of_n-n4\n  (\d+) of 256 problems, ([\d,]+) tokens/s, \d+ in flight\n"
    r"  (\d+):(\d+):(\d+) left of the stage, of the run (\d+):(\d+):(\d+) or more \(score, grade and select unknown\)"
)


def read(store: Path) -> Said | None:
    at = time.time()
    found = LINES.search(status(store))
    if found is None:
        return None
    done, rate, *clocks = (int(word.replace(",", "")) for word in found.groups())
    left, run = (hours * 3600 + minutes * 60 + seconds for hours, minutes, seconds in (clocks[:3], clocks[3:]))
    return Said(at, done, rate, left, run)


def test_what_is_said_at_half_time_is_true_at_the_end(tmp_path: Path) -> None:
    store, said = tmp_path / "store", []
    with running(recipe(tmp_path), store) as process:
        while process.poll() is None:
            said.append(read(store) if store.exists() else None)
            time.sleep(0.2)
    (times,) = query(
        Store(store),
        """SELECT min(epoch(started_at)) FILTER (starts_with(method_id, 'best')) AS begun,
        max(epoch(started_at) + latency_ms / 1000) FILTER (starts_with(method_id, 'best')) AS stage_end,
        max(epoch(started_at) + latency_ms / 1000) FILTER (method_id = 'cot') AS run_end,
        sum(output_tokens) FILTER (starts_with(method_id, 'best')) AS tokens
        FROM calls WHERE kind = 'generate'""",
    ).to_pylist()
    half = (times["begun"] + times["run_end"]) / 2
    known = [one for one in said if one is not None]
    one = min(known, key=lambda one: abs(one.at - half))
    assert abs(one.at - half) < 2, "it was asked at half time"
    assert one.stage_left == pytest.approx(times["stage_end"] - one.at, rel=0.1)
    assert one.run_left == pytest.approx(times["run_end"] - one.at, rel=0.1)
    assert one.rate == pytest.approx(float(times["tokens"]) / (times["stage_end"] - times["begun"]), rel=0.1)
    done = (
        "SELECT count(*) AS done FROM (SELECT problem_id FROM calls WHERE kind = 'generate' AND starts_with(method_id, "
    )
    done += f"'best') GROUP BY 1 HAVING max(epoch(started_at) + latency_ms / 1000) < {one.at - 0.5})"
    assert one.done == pytest.approx(query(Store(store), done).to_pylist()[0]["done"], rel=0.1)


def test_a_killed_run_is_told_at_once_and_a_resumed_one_goes_on_from_there(tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = recipe(tmp_path, policy={"engine": "fake", "latency_ms": 1500}, methods=[{"method": "best_of_n", "n": 4}])
    with running(path, store) as process:
        while not store.exists():
            time.sleep(0.05)
        until(lambda said: re.search(r"\n  [1-9]\d* of 256 problems", said), store)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    said = status(store)
    assert "interrupted" in said
    found = re.search(r"stopped: no word for \d+ s; it was at stage 1 of 4: sample best_of_n-n4; .*\n  (\d+) of", said)
    assert found and int(found.group(1)) >= 32
    with running(path, store) as process:
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    resumed = re.search(
        r"resuming: found 0 of 4 stages done, (\d+) of \d+ parts, ([\d,]+) answered calls? in jour", output
    )
    assert resumed and (int(resumed.group(1)) or resumed.group(2) != "0")
    (log,) = store.glob("runs/*/run.log")
    assert resumed.group(0).removeprefix("resuming: ") in log.read_text()


def test_processes_that_share_a_run_are_shown_together_and_each(tmp_path: Path) -> None:
    store, path = tmp_path / "store", recipe(tmp_path, methods=[{"method": "best_of_n", "n": 4}], shard_size=16)
    with running(path, store, "--shared") as first, running(path, store, "--shared") as second:
        while not store.exists():
            time.sleep(0.05)
        said = until(lambda said: "2 processes" in said, store)
        assert f"process {first.pid} on" in said and f"process {second.pid} on" in said
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        said = until(lambda said: ": stage" in said and "processes" not in said, store, 60)
        assert f"process {second.pid}" not in said
