"""Stage keys: what in a recipe changes them, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from plans import AFTER_SAMPLING, BASE, keys, methods_of, plan

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import read_recipe
from overthink.tasks.records import Problem

ALL = {"run", "problems", "sample", "score", "grade", "select"}


def changed(**changes: Any) -> set[str]:
    before, after = keys(plan()), keys(plan(**changes))
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize(
    "changes",
    [
        {"shard_size": 1},
        {"policy": {"engine": "fake", "latency_ms": 5}},
        {"prm": {"engine": "fake", "latency_ms": 5}},
        {"budgets": [8, 1]},
    ],
    ids=["shard_size", "policy latency", "prm latency", "order of budgets"],
)
def test_what_changes_no_result_changes_no_key(changes: dict[str, Any]) -> None:
    assert changed(**changes) == set()


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"name": "other"}, {"run"}),
        ({"sampling": {"temperature": 0.8}}, AFTER_SAMPLING),
        ({"sampling": {"top_p": 0.9}}, AFTER_SAMPLING),
        ({"sampling": {"max_tokens": 64}}, AFTER_SAMPLING),
        ({"sampling": {"step_delimiter": "\n"}}, AFTER_SAMPLING),
        ({"seed": 1}, AFTER_SAMPLING),
        ({"policy": {"engine": "fake", "steps": 5}}, AFTER_SAMPLING),
        ({"methods": [{"method": "cot"}], "budgets": [1]}, AFTER_SAMPLING),
        ({"methods": [{"method": "best_of_n", "n": 16}]}, {"run", "select"}),
        ({"budgets": [1, 2, 8]}, {"run", "select"}),
        ({"selectors": ["majority"]}, {"run", "select"}),
        ({"prm": None}, {"run", "score", "select"}),
        ({"grading": {"extraction": "lenient"}}, {"run", "grade", "select"}),
        ({"problems": {"source": "chains", "count": 5}}, {"run", "problems", "grade", "select"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_change_changes_the_keys_of_the_stages_it_reaches(changes: dict[str, Any], stages: set[str]) -> None:
    assert changed(**changes) == stages


def test_the_recipes_path_changes_no_key(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "elsewhere" / "b.yaml"]
    paths[1].parent.mkdir()
    for path in paths:
        path.write_text(json.dumps(BASE), encoding="utf-8")
    recipes = [read_recipe(path) for path in paths]
    first, second = (keys(plan_evaluation(recipe, load_problems(recipe.problems))) for recipe in recipes)
    assert first == second


def test_a_default_written_out_changes_no_key() -> None:
    assert changed(sampling={"temperature": 0.7, "top_p": 1}, seed=0, grading={"extraction": "boxed"}) == set()


def problem_set(reference: str = "2", question: str = "1+1?") -> ProblemSet:
    return ProblemSet(title="own", problems=(Problem(f"key of {question}", "0", question, reference),))


def test_a_reference_changes_grades_but_not_rollouts_or_scores() -> None:
    before, after = keys(plan(problem_set())), keys(plan(problem_set("3")))
    assert {stage for stage in before if before[stage] != after[stage]} == {"run", "problems", "grade", "select"}


def test_a_question_changes_its_unit_but_not_the_sample_stage() -> None:
    before, after = plan(problem_set()), plan(problem_set(question="2+2?"))
    assert before.problems.units != after.problems.units
    assert methods_of(before)[0].make_key == methods_of(after)[0].make_key
    assert before.run_id != after.run_id


def test_every_stage_key_starts_with_its_stage() -> None:
    assert {stage: key.split("-")[0] for stage, key in keys(plan()).items() if key and stage != "run"} == {
        stage: stage for stage in ALL - {"run"}
    }


def test_the_run_id_starts_with_the_name() -> None:
    assert plan().run_id.startswith("trial-")


def test_a_run_uses_each_stage_with_its_n() -> None:
    uses = [(use.kind, use.method_id, use.n) for use in methods_of(plan())[0].uses()]
    assert uses == [(s, "best_of_n-n8", 8) for s in ("sample", "score", "grade")] + [("select", "best_of_n-n8", None)]
