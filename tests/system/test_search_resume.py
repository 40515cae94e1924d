"""Beam search and DVTS survive kill -9 at any moment: the same trees in the end, and no journaled call made again.

Run as a script, this file forks the lives that are killed: `ROOT METHOD SEED`. One line of JSON a store.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bare_stages import execution, without_prefect
from killed_runs import Mortal, kill_at_random, timeless, told_by

from overthink.storage.stages import Stage
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe

KILLS = 20
TABLES = ("rollouts", "steps", "scores", "nodes", "calls")
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
    return plan_evaluation(recipe, load_problems(recipe.problems))


def stage_of(root: Path, plan: Plan) -> Stage:
    return Store(root).stage(plan.nodes[1].key)


def live(root: Path, plan: Plan) -> None:
    """One life of a run's search stage."""
    without_prefect(setattr)
    asyncio.run(execution(plan, root).runner.make(plan.nodes[1]))


def result_of(root: Path, plan: Plan) -> dict[str, Any]:
    """The tables and files of a finished store."""
    stage = stage_of(root, plan)
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks"]
    return {
        "tables": {name: sorted(map(timeless, stage.table(name).to_pylist())) for name in TABLES},
        "files": sorted(str(path.relative_to(root)) for path in files),
    }


def mortal(method: str) -> Mortal:
    plan = plan_of(method)
    return Mortal(
        live=lambda root: live(root, plan),
        stages=lambda root: [stage_of(root, plan)],
        result=lambda root: result_of(root, plan),
    )


@pytest.fixture(scope="module", params=METHODS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return told_by(__file__, tmp_path_factory.mktemp("stores"), request.param, 20260101)


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
    kill_at_random(Path(sys.argv[1]), mortal(sys.argv[2]), KILLS, int(sys.argv[3]), most_calls=160, longest=0.03)
