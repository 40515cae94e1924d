"""Selectors against hand-computed cases and a plain-Python reference."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.storage.schemas import SCHEMAS
from overthink.tasks.analysis.aggregation import AGGREGATIONS, aggregate
from overthink.tasks.analysis.selectors import (
    SELECTORS,
    Candidates,
    Selector,
    SelectorName,
    best,
    candidates,
    choose,
    needs_prm,
    signal_of,
)
from overthink.tasks.analysis.signals import CLASS_NAMES, SIGNAL_NAMES, TEST_SIGNALS

NAN = float("nan")

# Three rollouts say a, two say b; the best single step scores belong to different rollouts for each aggregation.
KEYS = ["a", "b", "a", "b", "a"]
STEPS = [[0.5, 0.5], [0.25, 1.0], [0.5, 0.25], [0.625, 0.625], [0.125, 0.125]]


def drawn(keys: Sequence[str | None], correct: Sequence[bool | None], steps: Sequence[Sequence[float]]) -> Candidates:
    """Rollouts of which each signal is the score of the last step."""
    last = [row[-1] if row else None for row in steps]
    return candidates(keys, correct, steps, dict.fromkeys(SIGNAL_NAMES, last))


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


# Five rollouts say a, three say b, three say c, one says nothing although it is the surest and the shortest.
SAID = ["a", "b", "a", "c", None, "c", "a", "b", "a", "c", "b", "a"]
SURE = [1.0, 9.0, 2.0, 7.0, 99.0, 8.0, 3.0, 8.5, 1.5, 7.5, 1.0, 0.5]
LONG = [50, 40, 10, 90, 1, 20, 95, 60, 96, 15, 70, 97]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("logprob_mean_max", 11),  # -0.5
        ("logprob_mean_vote", 0),  # e^-sure: a 1.3826, b 0.3682, c 0.0018
        ("self_certainty_max", 1),  # b 9.0
        ("self_certainty_borda", 0),  # roots: b 11, 10, 2: 7.893; c 9, 8, 7: 8.474; a 6, 5, 4, 3, 1: 9.417
        ("deepconf_tail_max", 1),
        ("deepconf_tail_vote", 3),  # a 8.0, b 18.5, c 22.5
        ("deepconf_tail_top10_vote", 1),  # the 90th percentile of 11 is the second: b 9.0, 8.5
        ("deepconf_tail_top90_vote", 3),  # all but the last a: c 22.5
        ("shortest", 2),  # a 10
        ("shortest_vote", 5),  # a 10, c 15, 20
    ],
)
def test_hand_computed_choice_without_a_prm(selector: SelectorName, chosen: int) -> None:
    signals = dict.fromkeys(SIGNAL_NAMES, SURE) | {"completion_tokens": LONG, "logprob_mean": [-one for one in SURE]}
    assert choose(selector, candidates(SAID, [False] * 12, None, signals)) == chosen


@pytest.mark.parametrize("kind", ["mean", "tail", "bottom", "lowest"])
def test_each_kind_of_confidence_is_read_by_its_own_selectors(kind: str) -> None:
    own = [name for name in SELECTORS if signal_of(name) == f"confidence_{kind}"]
    assert own == [f"deepconf_{kind}_{how}" for how in ("max", "vote", "top10_vote", "top90_vote")]


def test_log_probabilities_do_not_add_up_against_the_answer_of_many() -> None:
    signals = {"logprob_mean": [-0.5, -1.0, -1.0, -1.0]}
    assert choose("logprob_mean_vote", candidates(["b", "a", "a", "a"], [False] * 4, None, signals)) == 1


def test_three_short_rollouts_that_differ_leave_it_to_the_shortest() -> None:
    signals = {"completion_tokens": [30, 20, 10, 40, 50]}
    assert choose("shortest_vote", candidates(["a", "b", "c", "d", "d"], [False] * 5, None, signals)) == 2


def test_what_sampling_did_not_tell_has_no_say() -> None:
    signals = {"confidence_mean": [None, 1.0, None, 2.0]}
    assert choose("deepconf_mean_vote", candidates(["a", "b", "a", "c"], [False] * 4, None, signals)) == 3
    assert choose("deepconf_tail_vote", candidates(["a", "b", "a", "c"], [False] * 4, None, signals)) is None


def test_a_selector_of_a_signal_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no signal 'confidence': name one of prm, completion_tokens, "):
        Selector("wrong", best, signal="confidence")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are no classes 'text': name one of behaviour, agreement"):
        Selector("wrong", best, joined_by="text")  # type: ignore[arg-type]


def test_the_signals_are_columns_of_the_rollouts_and_what_tests_say_of_the_answers() -> None:
    assert set(SIGNAL_NAMES) - {"prm", *TEST_SIGNALS} <= set(SCHEMAS["rollouts"].names)
    assert {*TEST_SIGNALS, *CLASS_NAMES} <= set(SCHEMAS["answers"].names)


@pytest.mark.parametrize(("aggregation", "expected"), [("min", 0.25), ("last", 0.5), ("mean", 0.5), ("prod", 0.09375)])
def test_hand_computed_aggregate(aggregation: str, expected: float) -> None:
    assert aggregate([0.75, 0.25, 0.5], aggregation) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_rollout_without_steps_has_no_score(aggregation: str) -> None:
    assert math.isnan(aggregate([], aggregation))  # type: ignore[arg-type]


@pytest.mark.parametrize("selector", [s for s in SELECTORS if s != "oracle"])
def test_ties_go_to_the_first_encountered(selector: SelectorName) -> None:
    assert choose(selector, drawn([None, "b", "a", "b", "a"], [False] * 5, [[0.5]] * 5)) == 1


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
    assert choose(selector, drawn([None] * count, [False] * count, [[0.5]] * count)) is None


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


UNTESTED = {"tests_max": -1.0, "tests_vote": 0.0, "codet": 0.0}  # what a rollout of which tests say nothing is worth
COMBINE = {"min": min, "last": lambda row: row[-1], "mean": lambda row: sum(row) / len(row), "prod": math.prod}


def reference_value(selector: SelectorName, row: list[float]) -> float:
    """What a rollout with these step scores is worth, of which each signal is the last."""
    if selector in ("majority", "oracle", "behaviour_vote"):
        return 1.0
    if selector in UNTESTED and (not row or math.isnan(row[-1])):
        return UNTESTED[selector]
    if not row:
        return NAN
    if needs_prm(selector):
        return NAN if any(map(math.isnan, row)) else COMBINE[selector.split("_")[1]](row)
    if selector == "codet":
        return row[-1] ** 2
    sign = -1 if selector.startswith("shortest") else 1
    return float(np.exp(row[-1])) if selector == "logprob_mean_vote" else sign * row[-1]


def reference_votes(selector: SelectorName, says: dict[int, float]) -> dict[int, float]:
    """How heavily those vote that count, by their place."""
    ranked = sorted(says, key=lambda place: (-says[place], place))
    if selector == "self_certainty_borda":
        return {place: float(np.array([len(says) - ranked.index(place)])[0] ** 0.5) for place in says}
    if selector == "shortest_vote":
        return {place: 1.5 if place == ranked[0] else 1.0 for place in says if place in ranked[:3]}
    if "_top" in selector and says:
        bar = np.percentile(list(says.values()), 90 if "_top10_" in selector else 10)
        return {place: value for place, value in says.items() if value >= bar - 1e-9}
    return says


def reference_choice(
    selector: SelectorName, keys: list[str | None], correct: list[bool], steps: list[list[float]]
) -> int | None:
    says = {
        place: value
        for place, (key, row) in enumerate(zip(keys, steps, strict=True))
        if key is not None and not math.isnan(value := reference_value(selector, row))
    }
    says = reference_votes(selector, says)
    chosen: int | None = None
    totals: dict[str | None, float] = {}
    for place, value in says.items():
        totals[keys[place]] = totals.get(keys[place], 0.0) + value
    for place, value in says.items():
        if selector == "oracle":
            better = chosen is None or (correct[place] and not correct[chosen])
        elif selector.endswith("_max") or selector == "shortest":
            better = chosen is None or value > says[chosen]
        else:
            better = chosen is None or totals[keys[place]] > totals[keys[chosen]]
        if better:
            chosen = place
    return chosen


STEP_SCORE = st.integers(0, 8).map(lambda eighths: eighths / 8)  # sums and products of few eighths are exact
STEP_SCORES = st.one_of(st.lists(STEP_SCORE, max_size=4), st.just([NAN]))
ROLLOUTS = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), STEP_SCORES), max_size=10)


@settings(deadline=None, derandomize=True, max_examples=800)
@given(rollouts=ROLLOUTS, right=st.sampled_from(["a", "b", "z"]), selector=st.sampled_from([*SELECTORS]))
def test_choice_equals_the_plain_reference(
    rollouts: list[tuple[str | None, list[float]]], right: str, selector: SelectorName
) -> None:
    keys, steps = [key for key, _ in rollouts], [row for _, row in rollouts]
    correct = [key == right for key in keys]
    assert choose(selector, drawn(keys, correct, steps)) == reference_choice(selector, keys, correct, steps)
