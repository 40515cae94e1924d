"""What a small strategy decides, by hand: at one budget and under totals."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FLAT, Row, choice, fixed_choice, strategy, strategy_value

from overthink.tasks.analysis.difficulty import FEATURES
from overthink.tasks.analysis.selectors import Floats
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import ComputeOptimal
from overthink.tasks.stages.decide import Decision
from overthink.tasks.strategy.decisions import decide, decide_alike

FLOPS: list[Row] = [*strategy_value()["choices"][:3], choice(16, "easy"), *strategy_value()["choices"][4:]]
PILOTS = np.array([100.0, 50.0, 200.0])


def features(*last_scores: float) -> Floats:
    """Pilots that differ in their last scores alone: pass@1 is the logistic of 10 times what they are above 0.5."""
    rows = np.zeros((len(last_scores), len(FEATURES)))
    rows[:, 0] = last_scores
    return rows


def decided(limit: Row, last_scores: tuple[float, ...] = (0.9, 0.4, 0.1), **changes: object) -> list[Decision]:
    method = ComputeOptimal(method="compute_optimal", strategy=Path("s.yaml"), **limit)
    return decide(strategy(**changes), method, features(*last_scores), PILOTS[: len(last_scores)])


def test_at_one_budget_the_choice_is_by_predicted_difficulty() -> None:
    easy, medium, hard = decided({"n": 16})
    assert (easy.difficulty, medium.difficulty, hard.difficulty) == ("easy", "medium", "hard")
    assert (easy.chosen, medium.chosen, hard.chosen) == ("best_of_n-n16", "best_of_n-n16", "beam_search-n12-m4")
    assert easy.predicted == pytest.approx(1 / (1 + np.exp(-4)))
    assert [one.budget for one in (easy, medium, hard)] == [16, 16, 16]


def test_at_the_pilots_own_budget_only_the_selector_is_left_to_choose() -> None:
    assert [(one.chosen, one.selector) for one in decided({"n": 4})] == [
        ("best_of_n-n4", "majority"),
        ("best_of_n-n4", "prm_min_vote"),
        ("best_of_n-n4", "prm_min_vote"),
    ]


def test_what_is_expected_goes_by_the_pilots_own_tokens() -> None:
    easy, medium, hard = decided({"n": 16})
    # 16 solutions take 4 times the pilot, the search for hard ones 7 times.
    assert [one.expected_tokens for one in (easy, medium, hard)] == [400, 200, 1400]
    assert easy.expected_flops is None, "unknown, and not 0"
    assert medium.expected_flops == 16e6 / 100 * 50
    assert medium.expected_accuracy == pytest.approx(1 / (1 + np.exp(1)))


def test_without_a_pilot_nothing_is_predicted_and_what_was_fitted_is_expected() -> None:
    fixed = strategy(without_pilot=[fixed_choice(16, accuracy=0.6)]).fixed_choice(16)
    assert fixed is not None
    decision = decide_alike(fixed)
    assert (decision.predicted, decision.difficulty) == (None, None)
    assert (decision.budget, decision.chosen, decision.selector) == (16, "beam_search-n16-m4", "prm_min_vote")
    assert (decision.expected_accuracy, decision.expected_tokens, decision.expected_flops) == (0.6, 400, 16e6)


def test_under_a_total_all_have_pilots_whatever_a_budget_alone_would_do() -> None:
    plain, other = (
        decided({"total_tokens": 2000}, **changes) for changes in ({}, {"without_pilot": [fixed_choice(16)]})
    )
    assert plain == other


@pytest.mark.parametrize(
    ("total", "budgets"),
    [
        # The pilots take 350. From 0.5 at 4, 16 solutions raise the first to 0.98 for 300 more, and lower the others.
        (350, [4, 4, 4]),
        (649, [4, 4, 4]),
        (650, [16, 4, 4]),
        (100_000, [16, 4, 4]),
    ],
)
def test_a_total_goes_where_it_helps(total: int, budgets: list[int]) -> None:
    assert [one.budget for one in decided({"total_tokens": total})] == budgets


def test_a_total_of_flops_is_counted_in_flops() -> None:
    # The pilots take 4e4 a token; the first problem's twelve more solutions 12e6.
    pilots = 4e4 * 350
    for total, budgets in ((pilots, [4, 4, 4]), (pilots + 11.9e6, [4, 4, 4]), (pilots + 12.1e6, [16, 4, 4])):
        assert [one.budget for one in decided({"total_flops": total}, choices=FLOPS)] == budgets


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            {"total_tokens": 349},
            r"total_tokens = 349 is less than the 350 that the smallest budget of 4 takes for all 3",
        ),
        ({"total_flops": 1e6}, r"total_flops = 1e\+06 is less than the 1.4e\+07 that the smallest budget of 4"),
    ],
)
def test_a_total_below_the_pilots_is_told_what_they_take(limit: Row, message: str) -> None:
    with pytest.raises(UserError, match=message):
        decided(limit, choices=FLOPS)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=3), st.integers(350, 3000))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_what_is_expected_of_a_total_stays_within_it(last_scores: list[float], total: int) -> None:
    decisions = decided({"total_tokens": total}, tuple(last_scores))
    assert sum(one.expected_tokens for one in decisions) <= total
    assert {one.budget for one in decisions} <= {4, 16}


def test_where_more_never_helps_a_total_is_left_over() -> None:
    flat = [{"budget": budget, "accuracy": FLAT} for budget in (4, 16)]
    assert [one.budget for one in decided({"total_tokens": 10_000}, expectations=flat)] == [4, 4, 4]
