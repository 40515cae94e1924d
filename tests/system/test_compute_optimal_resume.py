"""A strategy's run survives kill -9 at any moment: the same decisions and answers, and no answered call made again.

Run as a script, this file forks the lives that are killed: `FOLDER SEED`. One line of JSON a store.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from applied import plan_of, recipe_value, written
from bare_stages import carry_out, without_prefect
from killed_runs import Mortal, kill_at_random, timeless, told_by

from overthink.storage.sql import query
from overthink.storage.stage_kinds import ENGINES_OF
from overthink.storage.stages import Stage
from overthink.storage.store import Store
from overthink.tasks.plan.run_plan import Plan

KILLS = 12
TABLES = ("rollouts", "steps", "scores", "nodes", "grades", "decisions", "selections", "summary", "calls")


def plan_in(folder: Path) -> Plan:
    """Six problems under a total, on fakes that take a few milliseconds a call."""
    value = recipe_value(folder / "strategy.yaml", {"total_tokens": 2500}, problems={"source": "chains", "count": 6})
    value["policy"] = value["policy"] | {"latency_ms": 3}
    return plan_of(value | {"prm": {"engine": "fake", "latency_ms": 3}})


def live(root: Path, plan: Plan) -> None:
    without_prefect(setattr)
    carry_out(plan, root)


def stages(root: Path, plan: Plan) -> list[Stage]:
    """Those that call engines."""
    keys = [node.key for node in plan.nodes if node.kind in ENGINES_OF]
    return [Store(root).stage(str(key)) for key in keys]


def result_of(root: Path) -> dict[str, Any]:
    rows = {table: query(Store(root), f"SELECT * FROM {table}").to_pylist() for table in TABLES}
    return {"tables": {table: sorted(map(timeless, found)) for table, found in rows.items()}}


def mortal(folder: Path) -> Mortal:
    written(folder)
    plan = plan_in(folder)
    return Mortal(live=lambda root: live(root, plan), stages=lambda root: stages(root, plan), result=result_of)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return told_by(__file__, tmp_path_factory.mktemp("stores"), 20260101)


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
    stores = Path(sys.argv[1])
    kill_at_random(stores, mortal(stores), KILLS, int(sys.argv[2]), most_calls=60, longest=0.05)
