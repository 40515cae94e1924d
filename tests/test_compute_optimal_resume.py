"""A strategy's run survives kill -9 at any moment: the same decisions and answers, and no answered call made again.

Run as a script, this file forks the lives that are killed: `FOLDER SEED`. One line of JSON a store.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from applied import plan_of, recipe_value, written
from bare_stages import carry_out, without_prefect
from storage_samples import ROOT, forked, status_of
from test_search_resume import CLOCK, has_ended, journaled, noted, watch_engines

from flows.plan import Plan
from storage.sql import query
from storage.store import Store

KILLS = 12
TABLES = ("rollouts", "steps", "scores", "nodes", "grades", "decisions", "selections", "summary", "calls")


def plan_in(folder: Path) -> Plan:
    """Six problems under a total, on fakes that take a few milliseconds a call."""
    value = recipe_value(folder / "strategy.yaml", {"total_tokens": 2500}, problems={"source": "chains", "count": 6})
    value["policy"] = value["policy"] | {"latency_ms": 3}
    return plan_of(value | {"prm": {"engine": "fake", "latency_ms": 3}})


def live(root: Path, plan: Plan) -> None:
    watch_engines(root)
    without_prefect(setattr)
    carry_out(plan, root)


def safe(root: Path, plan: Plan) -> set[str]:
    """The keys of the calls that no death can take back."""
    (strategy,) = plan.strategies
    keys = (strategy.pilot.make_key, strategy.pilot.score_key, strategy.search_key)
    return {call for key in keys for call in journaled(Store(root).stage(str(key)))}


def result_of(root: Path) -> dict[str, list[str]]:
    return {
        table: sorted(
            json.dumps({name: value for name, value in row.items() if name not in CLOCK}, sort_keys=True)
            for row in query(Store(root), f"SELECT * FROM {table}").to_pylist()
        )
        for table in TABLES
    }


class Lives:
    """The lives of one store: how many calls were safe at each violent death, and which of them were asked again."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root = root
        self.plan = plan
        self.deaths: list[int] = []
        self.again: list[str] = []

    def until_killed(self, calls: int, delay: float) -> bool:
        """Kill a life some time after so many calls reached its engines; False where it had ended by itself."""
        known, before = safe(self.root, self.plan), len(noted(self.root))
        child = forked(lambda: live(self.root, self.plan))
        while len(noted(self.root)) < before + calls and not has_ended(child):
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        status = status_of(child)
        assert status in (0, -signal.SIGKILL), "a life fails only by being killed"
        self._take_note(known, before)
        if status != 0:
            self.deaths.append(len(safe(self.root, self.plan)))
        return status != 0

    def to_the_end(self) -> dict[str, Any]:
        """One more life, to its natural end; returns all there is to tell."""
        known, before = safe(self.root, self.plan), len(noted(self.root))
        assert status_of(forked(lambda: live(self.root, self.plan))) == 0
        self._take_note(known, before)
        return {"deaths": self.deaths, "again": self.again, "asked": noted(self.root), "tables": result_of(self.root)}

    def _take_note(self, known: set[str], before: int) -> None:
        self.again += [call_key for call_key in noted(self.root)[before:] if call_key in known]


def kill_at_random(folder: Path, seed: int) -> None:
    """A store that is not killed; then lives killed at random moments, resuming the same store until it is done."""
    written(folder)
    plan, moments, left, number = plan_in(folder), random.Random(seed), KILLS, 0
    print(json.dumps(Lives(folder / "whole", plan).to_the_end()), flush=True)
    while left:
        lives = Lives(folder / str(number), plan)
        while left and lives.until_killed(moments.randrange(60), moments.uniform(0, 0.05)):
            left -= 1
        print(json.dumps(lives.to_the_end()), flush=True)
        number += 1


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("stores")), "20260101"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_lives_were_killed_before_between_and_in_the_stages(told: list[dict[str, Any]]) -> None:
    deaths = [calls for case in told[1:] for calls in case["deaths"]]
    assert len(deaths) == KILLS
    assert len(set(deaths)) >= KILLS // 3, "at different moments"


def test_decisions_answers_and_calls_equal_those_of_an_uninterrupted_run(told: list[dict[str, Any]]) -> None:
    whole, *killed = told
    assert len(whole["tables"]["decisions"]) == 6
    for case in killed:
        assert case["tables"] == whole["tables"]


def test_no_answered_call_reaches_an_engine_again(told: list[dict[str, Any]]) -> None:
    whole, *killed = told
    calls = {json.loads(row)["call_key"] for row in whole["tables"]["calls"]}
    assert sorted(whole["asked"]) == sorted(calls)
    for case in killed:
        assert case["again"] == []
        assert {*case["asked"]} == calls, "what was lost in flight is asked again, and nothing else is"


if __name__ == "__main__":
    kill_at_random(Path(sys.argv[1]), int(sys.argv[2]))
