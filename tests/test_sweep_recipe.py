"""The recipe of a sweep: which methods a budget makes of it, which runs, and what a mistake is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from overthink.tasks.errors import UserError
from overthink.tasks.recipes.loading import find_recipe, read_recipe, read_recipe_of
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.sweep_recipe import SweepRecipe, SweptMethod

BASE: dict[str, Any] = {
    "name": "grid",
    "problems": [{"source": "chains", "count": 3}],
    "policies": [{"engine": "fake"}],
    "prms": [{"engine": "fake"}],
    "methods": [{"method": "cot"}, {"method": "best_of_n"}, {"method": "beam_search"}],
    "budgets": [4, 16, 64],
}


def grid(**changes: Any) -> SweepRecipe:
    return SweepRecipe.model_validate(BASE | changes)


def complaint(folder: Path, **changes: Any) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(BASE | changes), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_recipe_of(SweepRecipe, path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.count("\n") == 0, "one message, one line"
    return message.removeprefix(f"{path}: ")


def sized(method: dict[str, Any], budgets: list[int], pilot: int = 4) -> tuple[list[str], list[str]]:
    methods, left_out = SweptMethod.model_validate(method).sized(budgets, pilot)
    return [each.method_id for each in methods], left_out


def test_every_key_of_a_run_is_one_of_a_sweep_and_reaches_its_runs() -> None:
    ours, theirs = SweepRecipe.model_fields, Recipe.model_fields
    assert set(theirs) - set(ours) == {"policy", "prm", "gate"}
    changes: dict[str, Any] = {
        "seed": 3,
        "domain_options": {},
        "prompt": {"user": "Now: {question}"},
        "selectors": ["majority"],
        "sampling": {"temperature": 0.3},
        "reasoning": {"max_tokens": 5},
        "grading": {"extraction": "lenient"},
        "difficulty": {"pilot": 8},
        "shard_size": 7,
    }
    listed = {"name", "problems", "methods", "budgets", "domain"}
    assert set(changes) | listed == set(theirs) - {"policy", "prm", "gate"}
    sweep = grid(**changes)
    (run,) = sweep.recipes()
    assert all(getattr(run, key) == getattr(sweep, key) for key in changes)


def test_independent_rollouts_are_drawn_for_the_largest_budget_which_answers_all() -> None:
    assert sized({"method": "best_of_n"}, [64, 4, 16]) == (["best_of_n-n64"], [])
    assert sized({"method": "cot"}, [4, 16]) == (["cot"], [])


def test_a_search_gets_every_budget_and_every_budget_less_the_pilot() -> None:
    expected = ["dvts-n4-m4", "dvts-n12-m4", "dvts-n16-m4", "dvts-n60-m4", "dvts-n64-m4"]
    assert sized({"method": "dvts"}, [4, 16, 64]) == (expected, [])
    assert sized({"method": "adaptive"}, [2, 8], pilot=2) == (["adaptive-n2", "adaptive-n6", "adaptive-n8"], [])


def test_an_n_that_is_a_budget_and_another_less_the_pilot_is_there_once() -> None:
    assert sized({"method": "dvts"}, [4, 8, 12])[0] == ["dvts-n4-m4", "dvts-n8-m4", "dvts-n12-m4"]


def test_what_cannot_be_divided_is_left_out_and_said() -> None:
    methods, left_out = sized({"method": "beam_search", "beam_width": 8}, [4, 16])
    assert methods == ["beam_search-n16-m8"]
    assert left_out == [
        "beam_search: n = 4 is not a multiple of beam_width = 8",
        "beam_search: n = 12 is not a multiple of beam_width = 8",
    ]


def test_the_runs_are_every_problem_set_with_every_policy_with_every_prm() -> None:
    recipes = grid(
        problems=[{"source": "chains", "count": 3}, {"source": "chains", "count": 4}],
        policies=[{"engine": "fake", "steps": steps} for steps in (2, 3)],
        prms=[{"engine": "fake", "latency_ms": latency} for latency in (0, 1)],
        seed=5,
    ).recipes()
    cells = [(each.problems.count, each.policy.steps, each.prm.latency_ms) for each in recipes]  # type: ignore[union-attr]
    assert cells == [(3, 2, 0), (3, 2, 1), (3, 3, 0), (3, 3, 1), (4, 2, 0), (4, 2, 1), (4, 3, 0), (4, 3, 1)]
    assert {(each.name, each.seed, each.budgets) for each in recipes} == {("grid", 5, (4, 16, 64))}
    methods = ["cot", "best_of_n-n64", *(f"beam_search-n{n}-m4" for n in (4, 12, 16, 60, 64))]
    assert all([method.method_id for method in each.methods] == methods for each in recipes)


def test_without_prms_each_policy_is_a_run_without_one() -> None:
    (recipe,) = grid(prms=[], methods=[{"method": "best_of_n"}]).recipes()
    assert recipe.prm is None
    assert recipe.chosen_selectors() == ("majority", "oracle")


def test_a_sweep_survives_the_json_of_a_deployment() -> None:
    recipe = grid()
    assert SweepRecipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert SweepRecipe.model_validate_json(recipe.model_dump_json()) == recipe


TWICE = "entries 0 and 1 are equal: leave one out"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": 1}, "sead: unknown key"),
        ({"policies": [{"engine": "fake", "stebs": 3}]}, "policies.0.stebs: unknown key"),
        ({"problems": [{"source": "chains", "cuont": 3}]}, "problems.0.count: is missing: add it"),
        ({"methods": [{"method": "beam_search", "step_tokns": 3}]}, "methods.0.step_tokns: unknown key"),
        ({"methods": [{"method": "cot"}, {"method": "dvts", "n": 4}]}, "methods.1: n follows from `budgets`: leave it"),
        ({"methods": [{"method": "dvts", "beam_width": 0}]}, "methods.0.beam_width: 0 is too small: give at least 1"),
        ({"methods": [{"method": "beam"}]}, "methods.0.method: 'beam' is unknown: did you mean beam_search?"),
        ({"methods": []}, "methods: it is empty: give at least 1"),
        ({"methods": [{"method": "cot"}, {"method": "cot"}]}, f"methods: {TWICE}"),
        ({"methods": [{"method": "dvts"}, {"method": "dvts", "beam_width": 4}]}, "a method is listed twice"),
        ({"policies": [{"engine": "fake"}, {"engine": "fake", "steps": 4}]}, f"policies: {TWICE}"),
        ({"prms": [{"engine": "fake"}, {"engine": "fake"}]}, f"prms: {TWICE}"),
        ({"problems": [{"source": "chains", "count": 3}] * 2}, f"problems: {TWICE}"),
        ({"budgets": [4, 4]}, f"budgets: {TWICE}"),
        ({"budgets": [6]}, "methods.2 suits no budget: beam_search: n = 6 is not a multiple of beam_width = 4"),
        (
            {"budgets": [4, 6], "methods": [{"method": "cot"}, {"method": "beam_search"}]},
            "budget 6 can be answered by no method: leave it out, or add best_of_n",
        ),
        ({"budgets": [4], "methods": [{"method": "cot"}]}, "budget 4 can be answered by no method"),
        ({"prms": []}, "beam_search-n4-m4 needs step scores: list `prms`"),
        (
            {"prms": [], "methods": [{"method": "best_of_n"}], "selectors": ["prm_last_max"]},
            "selector prm_last_max needs step scores",
        ),
    ],
)
def test_a_mistake_is_told_with_its_key(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert complaint(tmp_path, **changes).startswith(message)


def test_a_greedy_answer_answers_the_budget_1() -> None:
    assert grid(budgets=[1], methods=[{"method": "cot"}]).sized_methods()[0].method_id == "cot"


def test_a_sweep_is_no_run_and_a_run_no_sweep() -> None:
    with pytest.raises(UserError, match="names policies, so it is one of `overthink sweep`"):
        read_recipe(find_recipe("sweep"))
    with pytest.raises(UserError, match="names methods, so it is one of `overthink run`"):
        read_recipe_of(SweepRecipe, find_recipe("demo"))


def test_the_shipped_sweep_fits_on_problems_that_no_test_uses() -> None:
    recipe = read_recipe_of(SweepRecipe, find_recipe("sweep"))
    assert [source.split for source in recipe.problems] == ["validation"]  # type: ignore[union-attr]
    assert recipe.left_out() == []
    sizes = [f"{name}-n{n}-m4-step_tokens64" for name in ("beam_search", "dvts") for n in (4, 12, 16, 60, 64)]
    assert [method.method_id for method in recipe.sized_methods()] == ["cot", "best_of_n-n64", *sizes]
