"""Answers that say what is so: one is singular, an empty store is empty, what is left out is counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from bare_stages import carry_out, without_prefect
from commanding import overthink
from plans import BASE
from sandboxes import lack
from storage_samples import run_named
from test_code_runs import ROWS

from overthink.flows.commands.upkeep import not_checked
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.sql import query
from overthink.storage.store import StageUse, Store
from overthink.tasks.counted import counted
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.lacking_suites import lacking_suites
from overthink.tasks.recipes.loading import check_recipe
from overthink.tasks.recipes.methods import METHODS
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.reporting.html.facts import METHOD_COLOURS
from overthink.tasks.reporting.run_notes import absent_selectors, without_reference

BUDGETS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
ONE: dict[str, Any] = BASE | {
    "problems": {"source": "chains", "count": 1},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 256}],
    "budgets": BUDGETS,
}


def recipe_of_programs(folder: Path, selectors: list[str], replies: list[str]) -> Recipe:
    """A recipe on three problems laid out as HumanEval's, whose policy always writes these replies."""
    path, script = folder / "tasks.jsonl", folder / "script.json"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    recipe = check_recipe(
        BASE
        | {
            "problems": {"source": "file", "path": str(path), "preset": "humaneval"},
            "policy": {"engine": "scripted", "script": str(script)},
            "prm": None,
            "methods": [{"method": "best_of_n", "n": 2}],
            "budgets": [2],
            "selectors": selectors,
        }
    )
    asked = [problem.asked for problem in load_problems(recipe.problems, asking=recipe.asking).problems]
    script.write_text(json.dumps({"policy": {question: {"": replies} for question in asked}}))
    return recipe


def test_one_is_singular() -> None:
    assert [counted(count, "problem") for count in (0, 1, 1234)] == ["0 problems", "1 problem", "1,234 problems"]
    assert counted(2, "entry", "entries") == "2 entries"


@pytest.mark.usefixtures("address")
def test_many_budgets_leave_the_selectors_names_whole_off_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(json.dumps(ONE))
    answer = overthink("run", path, "--store", tmp_path / "store")
    assert answer.returncode == 0
    assert ": 1 problem, store" in answer.stdout
    assert all(f" {name} " in answer.stdout for name in ("prm_mean_vote", "prm_last_max", "majority", "oracle"))
    assert all(f"n = {n}" in answer.stdout for n in BUDGETS)


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    answer = overthink("status", "--store", tmp_path)
    assert (answer.returncode, answer.stdout) == (0, f"{tmp_path} holds no run yet: make one with `overthink run`\n")


def test_a_store_cannot_be_made_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(json.dumps(ONE))
    (tmp_path / "file").touch()
    answer = overthink("run", "one.yaml", "--store", "file", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.endswith("run.log cannot be made, because file is a file: name another place\n")


def test_only_public_tables_are_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_run(run_named("night-1"))
    for listing in ("SHOW TABLES", "show all tables;"):
        names = set(query(store, listing).column("name").to_pylist())
        assert {"runs", "rollouts", "summary", "stage_uses"} <= names
        assert not [name for name in names if name.startswith("parts_")] and "stored_runs" not in names


def test_every_method_has_a_colour_of_its_own() -> None:
    assert {*METHOD_COLOURS} == {*METHODS} - {"cot"}
    assert len({*METHOD_COLOURS.values()}) == len(METHOD_COLOURS)


@pytest.mark.parametrize(
    ("references", "told"),
    [
        (("2", None), ["1 of 2 problems have no reference: accuracies are of the others"]),
        (("2", "3"), []),
        ((None, None), []),
    ],
)
def test_problems_without_a_reference_are_counted(
    references: tuple[str | None, ...], told: list[str], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.write_run(run_named("night-1", StageUse("problems", "problems-1")))
    rows = [
        {"problem_set": "sums", "problem_key": key, "problem_id": key, "question": key, "reference": reference}
        for key, reference in zip("ab", references, strict=True)
    ]
    store.stage("problems-1").write_part(Extent(("a", "b"), 0, 1), {"problems": rows_table("problems", rows)})
    assert without_reference(store, "night-1") == told


def test_a_selector_whose_tests_no_problem_has_is_told_before_anything_is_sampled(tmp_path: Path) -> None:
    recipe = recipe_of_programs(tmp_path, ["majority", "tests_max", "codet"], ["    return 1"])
    problems = load_problems(recipe.problems, asking=recipe.asking).problems
    assert lacking_suites(recipe, problems) == [
        "codet will choose nothing: no problem has results of generated tests, which programs have whose problems hold "
        "`generated_tests`"
    ]
    unlisted = recipe.model_copy(update={"selectors": None})
    assert lacking_suites(unlisted, problems) == [], "what is left out unasked is no news"


def test_where_nothing_was_written_that_is_an_answer_that_is_the_reason(tmp_path: Path) -> None:
    if reason := lack():
        pytest.skip(reason)
    recipe = recipe_of_programs(tmp_path, ["majority", "tests_max"], ["No."])
    problem_set = load_problems(recipe.problems, asking=recipe.asking)
    store, plan = Store(tmp_path / "store"), plan_evaluation(recipe, problem_set)
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        carry_out(plan, store.root)
    assert absent_selectors(store, plan.run_id) == [
        "best_of_n-n2: no choice by tests_max: none of its rollouts holds an answer"
    ]


def test_doctor_says_what_it_did_not_check() -> None:
    assert not_checked(None, None, []) == "not checked: a store (--store), endpoints (--recipe, --endpoint)"
    assert not_checked("store", None, ["http://h/v1"]) == ""
