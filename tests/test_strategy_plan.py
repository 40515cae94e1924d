"""The stages of `compute_optimal`: what they share, what changes their keys, and which strategies fit a recipe."""

from pathlib import Path
from typing import Any

import pytest
from applied import fitted, plan_of, recipe_value, written
from plans import MethodStages, methods_of
from pydantic import ValidationError
from strategies import FLAT, Row, choice, strategy_value

from overthink.storage.stage_kinds import StageKind
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import write_strategy

N16: Row = {"n": 16}
TOTAL: Row = {"total_tokens": 5000}


def applied(path: Path, limit: Row = N16, **changes: Any) -> MethodStages:
    (found,) = methods_of(plan_of(recipe_value(path, limit, **changes)))
    return found


def keys(plan: MethodStages) -> dict[str, str | None]:
    return {
        "sample": plan.key(StageKind.SAMPLE),
        "score": plan.score_key,
        "decide": plan.key(StageKind.DECIDE),
        "search": plan.key(StageKind.SEARCH),
        "grade": plan.grade_key,
        "select": plan.select_key,
    }


def changed(before: MethodStages, after: MethodStages) -> set[str]:
    return {stage for stage, key in keys(before).items() if keys(after)[stage] != key}


DECIDED = {"decide", "search", "grade", "select"}


@pytest.mark.parametrize(
    "changes",
    [{"name": "another"}, {"fitted_from": ["run-2"]}, {"seed": 5}, {"policy": {"engine": "fake", "latency_ms": 9}}],
    ids="-".join,
)
def test_what_decides_nothing_changes_no_key(changes: Row, tmp_path: Path) -> None:
    before, after = applied(written(tmp_path / "a")), applied(written(tmp_path / "b", **changes))
    assert changed(before, after) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"predictor": FLAT},
        {"difficulty": {"easy": 0.6}},
        {"choices": [*strategy_value()["choices"][:5], choice(16, "hard")]},
        {"expectations": [{"budget": 4, "accuracy": FLAT}, {"budget": 16, "accuracy": FLAT}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_changes_the_decisions_and_all_after_them(changes: Row, tmp_path: Path) -> None:
    before, after = applied(written(tmp_path / "a")), applied(written(tmp_path / "b", **changes))
    assert changed(before, after) == DECIDED


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"shard_size": 1}, set()),
        ({"name": "other"}, set()),
        ({"difficulty": {"pilot": 9}}, set()),
        ({"seed": 1}, {"sample", "score", *DECIDED}),
        ({"problems": {"source": "chains", "count": 3}}, {"grade", "select"}),
    ],
    ids=["shard_size", "name", "the recipe's own bins", "seed", "problems"],
)
def test_what_of_the_recipe_reaches_which_stage(changes: Row, stages: set[str], tmp_path: Path) -> None:
    path = written(tmp_path)
    assert changed(applied(path), applied(path, **changes)) == stages


def test_a_total_is_shared_out_anew_among_other_problems(tmp_path: Path) -> None:
    path, fewer = written(tmp_path), {"problems": {"source": "chains", "count": 3}}
    assert changed(applied(path, TOTAL), applied(path, TOTAL, **fewer)) == DECIDED


def test_every_limit_has_decisions_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path)
    limits: list[Row] = [N16, {"n": 4}, TOTAL, {"total_tokens": 5001}]
    assert len({applied(path, limit).key(StageKind.DECIDE) for limit in limits}) == len(limits)


def test_the_pilot_is_the_beginning_of_any_best_of_n(tmp_path: Path) -> None:
    methods = [
        {"method": "best_of_n", "n": 64},
        {"method": "compute_optimal", "strategy": str(written(tmp_path)), **N16},
    ]
    plan = plan_of(recipe_value(tmp_path, methods=methods))
    sampled, strategy = methods_of(plan)
    assert [node.key for node in strategy.nodes[:3]] == [node.key for node in sampled.nodes[:3]]


def test_a_run_uses_the_pilot_and_what_follows_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    expected = [("sample", 4), ("score", 4), ("grade", 4), ("decide", None), ("search", 16), ("grade", 16)]
    for limit, name in ((N16, "n16"), (TOTAL, "tokens5000")):
        plan = applied(path, limit)
        assert [(use.kind, use.n) for use in plan.uses()] == [*expected, ("select", None)]
        assert {use.method_id for use in plan.uses()} == {f"compute_optimal-{name}-trial"}


def test_a_recipe_without_a_strategy_keeps_its_run_id_and_one_with_it_has_another(tmp_path: Path) -> None:
    methods: list[Row] = [{"method": "best_of_n", "n": 16}]
    alone = plan_of(recipe_value(tmp_path, methods=methods))
    methods.append({"method": "compute_optimal", "strategy": str(written(tmp_path)), **N16})
    assert alone.run_id != plan_of(recipe_value(tmp_path, methods=methods)).run_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy_id": "abacus-5m@12345678"}, r"with policy = abacus-5m@12345678, and here it is fake@\w{8}"),
        ({"prm_id": "abacus-prm@12345678"}, r"with prm = abacus-prm@12345678, and here it is fake@\w{8}"),
        ({"sampling": {"max_tokens": 256, "temperature": 0.8}}, r"with sampling.temperature = 0.8, and here it is 0.7"),
        ({"grading": {"extraction": "lenient"}}, r"with grading.extraction = lenient, and here it is boxed"),
    ],
    ids=["policy", "prm", "sampling", "grading"],
)
def test_a_strategy_fitted_for_something_else_is_refused_naming_both(
    changes: Row, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as caught:
        applied(path)
    assert str(caught.value).startswith(f"{path}: strategy trial was fitted")


def test_a_budget_that_was_not_fitted_is_told_which_were(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no choice for a budget of 8: take one of 4, 16"):
        applied(written(tmp_path), {"n": 8})


def test_a_total_of_flops_needs_choices_that_know_theirs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="some choices have no flops, so give a total in tokens"):
        applied(written(tmp_path), {"total_flops": 1e9})


def test_a_choice_that_needs_a_policy_that_thinks_is_refused_for_another(tmp_path: Path) -> None:
    forcing = {"method": "budget_forcing", "n": 12, "wait": 1}
    choices = [*strategy_value()["choices"][:5], choice(16, "hard", method=forcing)]
    with pytest.raises(UserError, match="budget_forcing-n12-wait1 needs a policy that thinks, and fake does not"):
        applied(written(tmp_path, choices=choices))


def test_a_strategy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no strategy .*nowhere.yaml: name a file"):
        applied(tmp_path / "nowhere.yaml")


def test_two_strategies_of_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path, bins in zip(paths, ({}, {"easy": 0.6}), strict=True):
        write_strategy(fitted(difficulty=bins), path)
    methods = [{"method": "compute_optimal", "strategy": str(path), **N16} for path in paths]
    with pytest.raises(UserError, match=r"a.yaml and .*b.yaml both make compute_optimal-n16-trial: give one"):
        plan_of(recipe_value(tmp_path, methods=methods))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": [{"method": "compute_optimal", "strategy": "s.yaml"}]}, "takes one of n, total_tokens"),
        ({"methods": [{"method": "compute_optimal", "strategy": "s.yaml", **N16, **TOTAL}]}, "takes one of n"),
        ({"methods": [{"method": "compute_optimal", "strategy": "s.yaml", **N16}] * 2}, "a method is listed twice"),
        ({"methods": [{"method": "compute_optimal", **N16}]}, "strategy"),
        ({"prm": None}, "compute_optimal needs step scores: name a `prm`"),
        ({"budgets": [17]}, "budget 17 is more than the 16 rollouts of any method"),
    ],
    ids=["no limit", "two limits", "twice", "no strategy", "no prm", "budget"],
)
def test_a_mistake_in_the_recipe_is_found_without_the_strategy(changes: Row, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(recipe_value(Path("s.yaml"), N16, **changes))


def test_under_a_total_alone_any_budget_may_be_listed() -> None:
    assert Recipe.model_validate(recipe_value(Path("s.yaml"), TOTAL, budgets=[64])).budgets == (64,)


def test_choices_are_never_strategies_themselves() -> None:
    with pytest.raises(ValidationError):
        fitted(choices=[choice(4, "easy", method={"method": "compute_optimal", "strategy": "s", "n": 4})])
