"""A run stopped again and again, by kill -9, SIGTERM or Ctrl-C: nothing lost or twice, no answered call made again.

OVERTHINK_KILLS says how often (docs/reliability.md has the figures of 100). Run as a script, this file forks the lives
that are stopped: `ROOT SEED`. One line of JSON a store.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from bare_stages import carry_out, without_prefect
from killed_runs import Mortal, kill_at_random, told_by

from benchmarks.kill import COUNTS, TABLES, orphans, rows
from overthink.storage.stage_kinds import ENGINES_OF
from overthink.storage.stages import Stage
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe

KILLS = int(os.environ.get("OVERTHINK_KILLS", "12"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
METHODS = ({"method": "cot"}, {"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 8})
PROBLEMS = 6


def plan_of() -> Plan:
    """Every stage there is, on fakes that take a few milliseconds a call."""
    recipe = Recipe.model_validate(
        {
            "name": "mortal",
            "problems": {"source": "chains", "count": PROBLEMS},
            "policy": {"engine": "fake", "latency_ms": 3},
            "prm": {"engine": "fake", "latency_ms": 3},
            "methods": METHODS,
            "budgets": [1, 8],
            "shard_size": 2,
        }
    )
    return plan_evaluation(recipe, load_problems(recipe.problems))


def stages_of(root: Path, plan: Plan) -> list[Stage]:
    """Those that ask engines."""
    keys = [node.key for node in plan.nodes if node.kind in ENGINES_OF]
    return [Store(root).stage(key) for key in keys]


def result_of(root: Path) -> dict[str, Any]:
    """All that a finished store tells by SQL, and its files that no manifest accounts for."""
    tables = {name: [json.dumps(row, default=str) for row in rows(root, sql)] for name, sql in TABLES.items()}
    (counts,) = rows(root, COUNTS)
    return {"counts": {name: int(count) for name, count in counts.items()}, "tables": tables, "orphans": orphans(root)}


def live(root: Path, plan: Plan) -> None:
    """One life of the run."""
    without_prefect(setattr)
    carry_out(plan, root)


def mortal() -> Mortal:
    plan = plan_of()
    return Mortal(
        live=lambda root: live(root, plan),
        stages=lambda root: stages_of(root, plan),
        result=result_of,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return told_by(__file__, tmp_path_factory.mktemp("stores"), 20261124)


def test_lives_were_stopped_at_different_moments_most_of_them_in_the_middle(
    whole: dict[str, Any], killed: list[dict[str, Any]]
) -> None:
    deaths = [calls for case in killed for calls in case["deaths"]]
    assert len(deaths) == KILLS
    middle = [calls for calls in deaths if 0 < calls < whole["counts"]["calls"]]
    assert len(middle) >= KILLS // 2
    assert len(set(middle)) >= min(KILLS // 2, 20), "at different moments"


def test_nothing_is_lost_doubled_or_left_over(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    assert whole["counts"]["rollouts"] == PROBLEMS * (1 + 8) + len(
        [row for row in whole["tables"]["rollouts"] if "beam_search" in row]
    )
    for case in killed:
        assert case["counts"] == whole["counts"]
        assert case["tables"] == whole["tables"]
        assert case["orphans"] == []


def test_no_answered_call_is_made_again(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    assert len(whole["asked"]) == len(set(whole["asked"])) == whole["counts"]["calls"]
    for case in killed:
        assert case["again"] == []
        assert {*case["asked"]} == {*whole["asked"]}, "what was lost in flight is asked again, and nothing else is"


if __name__ == "__main__":
    kill_at_random(Path(sys.argv[1]), mortal(), KILLS, int(sys.argv[2]), most_calls=120, longest=0.05, signals=SIGNALS)
