"""A run of programs killed with -9 at 20 random moments: none is run twice once its outcome is known, none is left.

Run as a script, this file forks the lives that are killed: `FOLDER SEED`. One line of JSON a store.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sandboxes
from bare_stages import carry_out, without_prefect
from killed_runs import Mortal, kill_at_random, told_by

from benchmarks.kill import orphans, rows
from overthink.storage.stage_kinds import ENGINES_OF
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.sandbox import choosing
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe

KILLS = 20
PROBLEMS, PROGRAMS = 4, 6
TABLES = {
    "rollouts": "SELECT * FROM rollouts ORDER BY ALL",
    "test_results": "SELECT * EXCLUDE (cpu_seconds) FROM test_results ORDER BY ALL",
    "grades": "SELECT * FROM grades ORDER BY ALL",
    "selections": "SELECT * FROM selections ORDER BY ALL",
    "calls": "SELECT problem_id, sample_index, kind, call_key FROM calls ORDER BY ALL",
}


def problem(number: int) -> dict[str, Any]:
    return {
        "question": f"Write a function `plus` that adds {number} to its argument.",
        "entry_point": "plus",
        "tests": [f"assert plus(1) == {number + 1}", f"assert plus(-{number}) == 0"],
        "public_tests": [f"assert plus(0) == {number}"],
    }


def program(number: int, sample: int) -> str:
    """Right, wrong, and one that leaves children behind, as long as they are let."""
    if sample == PROGRAMS - 1:
        return f"import os, time\nos.fork() or time.sleep(1000)\ndef plus(x):\n    return x + {number}\n"
    return f"def plus(x):\n    time = {sample}\n    return x + {number if sample % 2 else sample}\n"


def plan_in(folder: Path) -> Plan:
    data, script = folder / "problems.jsonl", folder / "script.json"
    data.write_text("".join(json.dumps(problem(number)) + "\n" for number in range(PROBLEMS)))
    recipe = Recipe.model_validate(
        {
            "name": "programs",
            "problems": {"source": "file", "path": str(data), "columns": {"tests": "tests"}},
            "domain": "code",
            "policy": {"engine": "scripted", "script": str(script)},
            "methods": [{"method": "best_of_n", "n": PROGRAMS}],
            "budgets": [1, PROGRAMS],
            "shard_size": 2,
        }
    )
    problems = load_problems(recipe.problems, False, recipe.asking)
    texts = [[f"```python\n{program(number, sample)}```" for sample in range(PROGRAMS)] for number in range(PROBLEMS)]
    asked = {one.asked: {"": written} for one, written in zip(problems.problems, texts, strict=True)}
    script.write_text(json.dumps({"policy": asked}))
    return plan_evaluation(recipe, problems)


def live(root: Path, plan: Plan) -> None:
    """One life; the command lines of its programs hold the name of its store."""
    choosing.known = lambda: (sandboxes.Marked(str(root)),)
    without_prefect(setattr)
    carry_out(plan, root)


def result_of(root: Path) -> dict[str, Any]:
    tables = {name: [json.dumps(row, default=str) for row in rows(root, sql)] for name, sql in TABLES.items()}
    isolation, deadline = sandboxes.Marked(str(root)), time.monotonic() + 10
    while isolation.alive() and time.monotonic() < deadline:  # the kernel takes a moment
        time.sleep(0.05)
    return {"tables": tables, "orphans": orphans(root), "alive": isolation.alive()}


def mortal(folder: Path) -> Mortal:
    plan = plan_in(folder)
    keys = [node.key for node in plan.nodes if node.kind in ENGINES_OF]
    return Mortal(
        live=lambda root: live(root, plan),
        stages=lambda root: [Store(root).stage(key) for key in keys],
        result=result_of,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if lack := sandboxes.lack():
        pytest.skip(lack)
    return told_by(__file__, tmp_path_factory.mktemp("stores"), 20261130)


def test_lives_were_killed_in_the_middle(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    deaths = [calls for case in killed for calls in case["deaths"]]
    middle = [calls for calls in deaths if 0 < calls < len(whole["tables"]["calls"])]
    assert (len(deaths), len(middle) >= KILLS // 2) == (KILLS, True)


def test_verdicts_are_what_they_would_have_been(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    rights = [json.loads(row)["correct"] for row in whole["tables"]["grades"]]
    assert (len(rights), sum(rights)) == (PROBLEMS * PROGRAMS, sum(map(right_ones, range(PROBLEMS))))
    for case in killed:
        assert case["tables"] == whole["tables"]
        assert case["orphans"] == []


def right_ones(number: int) -> int:
    """How many programs of a problem are right: some of the wrong ones are right by chance."""
    return sum((number if sample % 2 else sample) == number for sample in range(PROGRAMS - 1)) + 1


def test_no_program_is_run_twice_once_its_outcome_is_known(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    executed = [row for row in map(json.loads, whole["tables"]["calls"]) if row["kind"] == "execute"]
    assert len(whole["asked"]) == len(set(whole["asked"])) == len(executed) == 2 * PROBLEMS * PROGRAMS
    for case in killed:
        assert case["again"] == []
        assert {*case["asked"]} == {*whole["asked"]}


def test_no_process_of_a_sandbox_is_left(whole: dict[str, Any], killed: list[dict[str, Any]]) -> None:
    assert [case["alive"] for case in (whole, *killed)] == [[]] * (1 + len(killed))


if __name__ == "__main__":
    kill_at_random(Path(sys.argv[1]), mortal(Path(sys.argv[1])), KILLS, int(sys.argv[2]), most_calls=40, longest=0.1)
