"""Beam search and DVTS survive kill -9 at any moment: the same trees in the end, and no journaled call made again.

Run as a script, this file forks the lives that are killed: `ROOT METHOD SEED`. One line of JSON a store.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from storage_samples import ROOT, forked, status_of

import flows.evaluate
import flows.runner
from flows.evaluate import Evaluation
from flows.plan import Plan, make_plan
from flows.progress import RunProgress
from flows.recipe import Recipe
from storage.stages import Stage
from storage.store import Store
from tasks.engines.fake import FakePolicy, FakePrm
from tasks.problems.sources import load_problems
from tasks.recorder import Recorder
from tasks.searching import search

KILLS = 20
TABLES = ("rollouts", "steps", "scores", "nodes", "calls")
CLOCK = {"latency_ms", "started_at"}
METHODS: dict[str, dict[str, Any]] = {
    "beam_search": {"method": "beam_search", "n": 16},
    "dvts": {"method": "dvts", "n": 16},
}


def plan_of(method: str) -> Plan:
    """Six problems in two shards, on fakes that take a few milliseconds a call."""
    recipe = Recipe.model_validate(
        {
            "name": "mortal",
            "problems": {"source": "chains", "count": 6},
            "policy": {"engine": "fake", "steps": 6, "latency_ms": 3},
            "prm": {"engine": "fake", "latency_ms": 3},
            "methods": [METHODS[method]],
            "budgets": [16],
            "shard_size": 3,
        }
    )
    return make_plan(recipe, load_problems(recipe.problems))


def stage_of(root: Path, plan: Plan) -> Stage:
    return Store(root).stage(plan.methods[0].make_key)


def note(root: Path, call_key: str) -> None:
    """The key of a call that reached an engine, in a file beside the store that no kill can take back."""
    descriptor = os.open(f"{root}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{call_key}\n".encode())
    os.close(descriptor)


def noted(root: Path) -> list[str]:
    path = Path(f"{root}.log")
    return path.read_text(encoding="utf-8").split() if path.exists() else []


asked_key: ContextVar[str] = ContextVar("asked_key")  # of the call that this task is about to make


def watch_engines(root: Path) -> None:
    """Note the key of every call that reaches an engine: the one its task has just not found in the journal."""
    replay = Recorder.replay

    async def remembered(recorder: Recorder, call_key: str) -> str | None:
        asked_key.set(call_key)
        return await replay(recorder, call_key)

    def watched(answer: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            note(root, asked_key.get())
            return await answer(*arguments)

        return call

    Recorder.replay = remembered  # type: ignore[assignment, method-assign]
    FakePolicy.generate = watched(FakePolicy.generate)  # type: ignore[method-assign]
    FakePrm.score = watched(FakePrm.score)  # type: ignore[method-assign]


class NoArtifact:
    async def advance(self) -> None:
        pass


async def no_artifact(*_: Any) -> NoArtifact:
    return NoArtifact()


def live(root: Path, plan: Plan) -> None:
    """One life of a run's search stage, as the flow runs it but without Prefect, whose start would take seconds."""
    watch_engines(root)
    flows.evaluate.search = search.fn  # type: ignore[assignment]
    flows.runner.publish_progress = no_artifact  # type: ignore[assignment]
    evaluation = Evaluation(plan, Store(root), RunProgress(None))
    asyncio.run(evaluation.make_rollouts(plan.methods[0]))


def journaled(stage: Stage) -> Iterator[str]:
    """The keys of the calls that are safe: in a part, or in the journal; a copy of it, as opening it would mend it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in stage.folder.glob("journal.sqlite*"):
            shutil.copy(path, folder)
        if (Path(folder) / "journal.sqlite").exists():
            connection = sqlite3.connect(Path(folder) / "journal.sqlite")
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchone():
                yield from (row[0] for row in connection.execute("SELECT call_key FROM calls"))
            connection.close()
    yield from stage.table("calls")["call_key"].to_pylist()


def result_of(root: Path, plan: Plan) -> dict[str, Any]:
    """The tables and files of a finished store."""
    stage = stage_of(root, plan)
    tables = {name: [strip(row) for row in stage.table(name).to_pylist()] for name in TABLES}
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return {
        "tables": {name: sorted(json.dumps(row, sort_keys=True) for row in rows) for name, rows in tables.items()},
        "files": sorted(str(path.relative_to(root)) for path in files),
    }


def strip(row: dict[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in row.items() if column not in CLOCK}


def has_ended(child: int) -> bool:
    """Whether a process has ended, without waiting or taking note of it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Lives:
    """The lives of one store: how many calls were safe at each violent death, and which of them were asked again."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root = root
        self.plan = plan
        self.deaths: list[int] = []
        self.again: list[str] = []
        self._safe: set[str] = set()

    def until_killed(self, calls: int, delay: float) -> bool:
        """Kill a life some time after so many calls reached its engines; False where it had ended by itself."""
        before = noted(self.root)
        child = forked(lambda: live(self.root, self.plan))
        while len(noted(self.root)) < len(before) + calls and not has_ended(child):
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        status = status_of(child)
        assert status in (0, -signal.SIGKILL), "a life fails only by being killed"
        self._take_note(len(before))
        if status != 0:
            self.deaths.append(len(self._safe))
        return status != 0

    def to_the_end(self) -> dict[str, Any]:
        """One more life, to its natural end; returns all there is to tell."""
        before = len(noted(self.root))
        assert status_of(forked(lambda: live(self.root, self.plan))) == 0
        self._take_note(before)
        asked = noted(self.root)
        return {"deaths": self.deaths, "again": self.again, "asked": asked, **result_of(self.root, self.plan)}

    def _take_note(self, before: int) -> None:
        self.again += [call_key for call_key in noted(self.root)[before:] if call_key in self._safe]
        self._safe = {*journaled(stage_of(self.root, self.plan))}


def kill_at_random(folder: Path, method: str, seed: int) -> None:
    """A store that is not killed; then lives killed at random moments, resuming the same store until it is done."""
    plan, moments, left, number = plan_of(method), random.Random(seed), KILLS, 0
    print(json.dumps(Lives(folder / "whole", plan).to_the_end()), flush=True)
    while left:
        lives = Lives(folder / str(number), plan)
        while left and lives.until_killed(moments.randrange(160), moments.uniform(0, 0.03)):
            left -= 1
        print(json.dumps(lives.to_the_end()), flush=True)
        number += 1


def cases(*arguments: object) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=os.environ | {"PYTHONPATH": path}, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=METHODS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return cases(tmp_path_factory.mktemp("stores"), request.param, 20260101)


@pytest.fixture
def whole(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The store that was never killed."""
    return told[0]


@pytest.fixture
def killed(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return told[1:]


def test_twenty_lives_were_killed_most_of_them_in_the_middle_of_the_search(
    whole: dict[str, Any], killed: list[dict[str, Any]]
) -> None:
    deaths = [calls for case in killed for calls in case["deaths"]]
    assert len(deaths) == KILLS
    total = len(whole["tables"]["calls"])
    assert sum(0 < calls < total for calls in deaths) >= KILLS // 2
    assert len(set(deaths)) >= KILLS // 2, "at different moments"


def test_rollouts_trees_scores_and_calls_equal_those_of_an_uninterrupted_run(
    whole: dict[str, Any], killed: list[dict[str, Any]]
) -> None:
    assert len(whole["tables"]["nodes"]) > 200
    for case in killed:
        assert case["tables"] == whole["tables"]


def test_no_journaled_call_reaches_an_engine_again(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    calls = {json.loads(row)["call_key"] for row in whole["tables"]["calls"]}
    assert sorted(whole["asked"]) == sorted(calls)
    for case in killed:
        assert case["again"] == []
        assert {*case["asked"]} == calls, "what was lost in flight is asked again, and nothing else is"


def test_nothing_is_left_over(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    for case in killed:
        assert case["files"] == whole["files"]
    assert not [name for name in whole["files"] if "journal" in name]


if __name__ == "__main__":
    kill_at_random(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
