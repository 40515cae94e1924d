"""Selectors against hand-computed cases and a plain-Python reference."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.analysis.selectors import (
    AGGREGATIONS,
    SELECTORS,
    SelectorName,
    aggregate,
    candidates,
    choose,
    needs_prm,
)

NAN = float("nan")

# Three rollouts say a, two say b; the best single step scores belong to different rollouts for each aggregation.
KEYS = ["a", "b", "a", "b", "a"]
STEPS = [[0.5, 0.5], [0.25, 1.0], [0.5, 0.25], [0.625, 0.625], [0.125, 0.125]]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("majority", 0),  # a 3, b 2
        ("prm_min_max", 3),  # 0.5 0.25 0.25 0.625 0.125
        ("prm_last_max", 1),  # 0.5 1.0 0.25 0.625 0.125
        ("prm_mean_max", 1),  # 0.5 0.625 0.375 0.625 0.125: 1 and 3 tie
        ("prm_prod_max", 3),  # 0.25 0.25 0.125 0.390625 0.015625
        ("prm_min_vote", 0),  # a 0.875, b 0.875: a tie, and a comes first
        ("prm_last_vote", 1),  # a 0.875, b 1.625
        ("prm_mean_vote", 1),  # a 1.0, b 1.25
        ("prm_prod_vote", 1),  # a 0.390625, b 0.640625
    ],
)
def test_hand_computed_choice(selector: SelectorName, chosen: int) -> None:
    assert choose(selector, candidates(KEYS, [False] * 5, STEPS)) == chosen


@pytest.mark.parametrize(("aggregation", "expected"), [("min", 0.25), ("last", 0.5), ("mean", 0.5), ("prod", 0.09375)])
def test_hand_computed_aggregate(aggregation: str, expected: float) -> None:
    assert aggregate([0.75, 0.25, 0.5], aggregation) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_rollout_without_steps_has_no_score(aggregation: str) -> None:
    assert math.isnan(aggregate([], aggregation))  # type: ignore[arg-type]


@pytest.mark.parametrize("selector", [s for s in SELECTORS if s != "oracle"])
def test_ties_go_to_the_first_encountered(selector: SelectorName) -> None:
    assert choose(selector, candidates([None, "b", "a", "b", "a"], [False] * 5, [[0.5]] * 5)) == 1


def test_tied_votes_go_to_the_answer_met_first_not_to_the_first_to_reach_the_total() -> None:
    assert choose("majority", candidates(["a", "b", "b", "a"], [False] * 4, None)) == 0


@pytest.mark.parametrize("selector", [s for s in SELECTORS if needs_prm(s)])
def test_rollouts_without_answer_have_no_say(selector: SelectorName) -> None:
    assert choose(selector, candidates([None, "a"], [False, False], [[1.0], [0.25]])) == 1


def test_no_answer_is_no_group_in_a_majority() -> None:
    assert choose("majority", candidates([None, None, None, "a"], [False] * 4, None)) == 3


@pytest.mark.parametrize("selector", [s for s in SELECTORS if needs_prm(s)])
def test_rollouts_without_score_have_no_say(selector: SelectorName) -> None:
    assert choose(selector, candidates(["b", "b", "a"], [False] * 3, [[NAN], [], [0.0]])) == 2


def test_one_unknown_step_score_makes_min_mean_and_prod_unknown_but_not_last() -> None:
    rollouts = candidates(["a"], [False], [[NAN, 0.5]])
    assert {name: math.isnan(rollouts.scores[name][0]) for name in AGGREGATIONS} == {
        "min": True,
        "last": False,
        "mean": True,
        "prod": True,
    }


def test_an_answer_scored_zero_can_still_win_a_vote() -> None:
    assert choose("prm_min_vote", candidates([None, "a", "b"], [False] * 3, [[1.0], [0.0], [0.0]])) == 1


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("count", [0, 3])
def test_none_where_nobody_has_a_say(selector: SelectorName, count: int) -> None:
    assert choose(selector, candidates([None] * count, [False] * count, [[0.5]] * count)) is None


def test_oracle_takes_the_first_right_one() -> None:
    assert choose("oracle", candidates([None, "a", "b", "b"], [None, False, True, True], None)) == 2


def test_oracle_without_a_right_one_takes_one_that_may_be_right_or_else_the_first_answer() -> None:
    assert choose("oracle", candidates([None, "a", "b"], [False, False, None], None)) == 2
    assert choose("oracle", candidates([None, "a", "b"], [False, False, False], None)) == 1


def test_choosing_leaves_the_scores_untouched() -> None:
    rollouts = candidates([None, "a"], [False, False], [[0.5], [0.25]])
    choose("prm_min_max", rollouts)
    assert rollouts.scores["min"].tolist() == [0.5, 0.25]


def test_equal_keys_are_numbered_alike_in_order_of_first_sight() -> None:
    groups = candidates(["x", None, "y", "x"], [False] * 4, None).groups
    np.testing.assert_array_equal(groups, [0, -1, 1, 0])


def reference_choice(
    selector: SelectorName, keys: list[str | None], correct: list[bool], steps: list[list[float]]
) -> int | None:
    kind, mode = "one", selector
    if selector.startswith("prm_"):
        _, kind, mode = selector.split("_")
    combine = {"min": min, "last": lambda row: row[-1], "mean": lambda row: sum(row) / len(row), "prod": math.prod}
    says: dict[int, float] = {}
    for index, (key, row) in enumerate(zip(keys, steps, strict=True)):
        if key is None:
            continue
        if kind == "one":
            says[index] = 1.0
        elif row and not math.isnan(value := NAN if any(map(math.isnan, row)) else combine[kind](row)):
            says[index] = value
    best: int | None = None
    totals: dict[str | None, float] = {}
    for index, value in says.items():
        totals[keys[index]] = totals.get(keys[index], 0.0) + value
    for index, value in says.items():
        if mode == "oracle":
            better = best is None or (correct[index] and not correct[best])
        elif mode == "max":
            better = best is None or value > says[best]
        else:
            better = best is None or totals[keys[index]] > totals[keys[best]]
        if better:
            best = index
    return best


STEP_SCORE = st.integers(0, 8).map(lambda eighths: eighths / 8)  # sums and products of few eighths are exact
STEP_SCORES = st.one_of(st.lists(STEP_SCORE, max_size=4), st.just([NAN]))
ROLLOUTS = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), STEP_SCORES), max_size=10)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(rollouts=ROLLOUTS, right=st.sampled_from(["a", "b", "z"]), selector=st.sampled_from([*SELECTORS]))
def test_choice_equals_the_plain_reference(
    rollouts: list[tuple[str | None, list[float]]], right: str, selector: SelectorName
) -> None:
    keys, steps = [key for key, _ in rollouts], [row for _, row in rollouts]
    correct = [key == right for key in keys]
    assert choose(selector, candidates(keys, correct, steps)) == reference_choice(selector, keys, correct, steps)
