"""A run in the domain of code from end to end, on problems laid out as HumanEval's and a scripted policy."""

import json
from typing import Any

import pytest
from bare_stages import carry_out, without_prefect
from plans import BASE
from sandboxes import lack

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import check_recipe

ROWS = [
    {
        "task_id": "own/0",
        "prompt": 'def double(x):\n    """Twice x.\n\n    >>> double(2)\n    4\n    """\n',
        "entry_point": "double",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(-1) == -2\n",
    },
    {
        "task_id": "own/1",
        "prompt": "import math\n\n\ndef area(r):\n    '''The area of a circle.'''\n",
        "entry_point": "area",
        "test": "def check(candidate):\n    assert math.isclose(candidate(1), math.pi)\n",
    },
    {
        "task_id": "own/2",
        "prompt": "def check(n):\n    '''Whether n is even.'''\n",
        "entry_point": "check",
        "test": "def check(candidate):\n    assert check(2)\n    assert not check(3)\n",
    },
]
FENCED = "So:\n```python\ndef double(x):\n    return x + x\n```"
AREA = "\treturn math.pi * r ** 2\n\nprint(area(1))"
SOLUTIONS = [
    ["    return 2 * x", "    return x * x", FENCED, "  return 2*x  # twice", "No."],
    [AREA, "    while True: pass", "    return r", "return math.pi*r**2", "    # r"],
    ["    return n % 2 == 0", "    return True", "    return not n % 2", "    import os; os._exit(0)", "    return ("],
]
RIGHT = [[True, False, True, True, False], [True, False, False, True, False], [True, False, True, False, False]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A finished run of five rollouts a problem."""
    if reason := lack():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("code")
    path, script = folder / "tasks.jsonl", folder / "script.json"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    value: dict[str, Any] = BASE | {
        "problems": {"source": "file", "path": str(path), "preset": "humaneval"},
        "policy": {"engine": "scripted", "script": str(script)},
        "prm": None,
        "methods": [{"method": "best_of_n", "n": 5}],
        "budgets": [1, 5],
        "selectors": ["majority", "tests_max", "behaviour_vote"],
        "domain_options": {"cpu_seconds": 1},
    }
    recipe = check_recipe(value)
    problems = load_problems(recipe.problems, asking=recipe.asking)
    texts = zip((problem.asked for problem in problems.problems), SOLUTIONS, strict=True)
    script.write_text(json.dumps({"policy": {question: {"": written} for question, written in texts}}))
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        carry_out(plan_evaluation(recipe, problems), folder / "store")
    return Store(folder / "store")


def test_a_run_is_graded_by_the_tests_of_its_problems(store: Store) -> None:
    rows = query(
        store,
        """SELECT problem_id, list(g.correct ORDER BY r.sample_index) AS correct,
                  list(g.detail ORDER BY r.sample_index) AS detail, list(r.answer_key ORDER BY r.sample_index) AS keys
           FROM grades g JOIN rollouts r USING (rollout_id) GROUP BY problem_id ORDER BY problem_id""",
    ).to_pylist()
    assert [row["correct"] for row in rows] == RIGHT
    double, area, check = (row["detail"] for row in rows)
    assert double[1:3] == ["AssertionError, in assert candidate(3) == 6", "passes the hidden tests"]
    assert (area[1], area[4]) == ("took more CPU time than it may", "no answer found")
    assert check[3] == "ended before its tests had returned"
    keys = rows[0]["keys"]
    assert keys[0] == keys[3] and len(set(keys)) == 4, "layout, comments and docstrings are no syntax"


def test_public_tests_and_behaviour_choose(store: Store) -> None:
    passed = """SELECT s.value FROM signals s JOIN rollouts r USING (rollout_id)
                WHERE s.signal = 'tests_passed' AND r.problem_id = 'own/0' ORDER BY r.sample_index"""
    found = [row["value"] for row in query(store, passed).to_pylist() if row["value"] is not None]
    assert found == [1.0, 1.0, 1.0, 1.0], "2 * 2 == 2 ** 2"
    chosen = query(store, "SELECT selector, answer, correct FROM selections WHERE n = 5 AND problem_id = 'own/0'")
    of = {row["selector"]: row for row in chosen.to_pylist()}
    assert {*of} == {"majority", "tests_max", "behaviour_vote"} and of["majority"]["correct"]
    assert of["majority"]["answer"].endswith("2 * x")


def test_programs_are_run_once_and_each_execution_is_a_call(store: Store) -> None:
    calls = query(store, "SELECT cpu_seconds FROM calls WHERE kind = 'execute'").to_pylist()
    # own/0 has 4 programs with hidden tests, and with public ones beside their calls; own/1 four, own/2 four
    assert len(calls) == 4 * 2 + 4 + 4 and all(row["cpu_seconds"] is not None for row in calls)
