"""Difficulty: the bins, what a pilot tells, and whether the predictor finds what the problems were made by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import special

from overthink.tasks.analysis.difficulty import (
    FEATURES,
    DifficultyConfig,
    Predictor,
    confusion,
    features_of,
    fit_predictor,
    quantiles,
)
from overthink.tasks.analysis.prm_quality import calibration_curve, calibration_error
from overthink.tasks.analysis.selectors import Floats, candidates

BINS = DifficultyConfig()
CHECKED = settings(deadline=None, derandomize=True, max_examples=15)


@pytest.mark.parametrize(
    ("pass_at_1", "difficulty"),
    [(0.0, "hard"), (0.0999, "hard"), (0.1, "medium"), (0.4999, "medium"), (0.5, "easy"), (1.0, "easy")],
)
def test_the_bins_of_the_paper(pass_at_1: float, difficulty: str) -> None:
    assert BINS.of(pass_at_1) == difficulty


def test_the_bins_lie_where_the_recipe_says() -> None:
    bins = DifficultyConfig(easy=0.8, hard=0.3)
    assert [bins.of(value) for value in (0.2, 0.3, 0.8)] == ["hard", "medium", "easy"]


def test_bins_upside_down_are_refused() -> None:
    with pytest.raises(ValidationError, match="hard = 0.5 must be below easy = 0.5"):
        DifficultyConfig(easy=0.5, hard=0.5)


def test_quantiles_hold_as_many_problems_each() -> None:
    assert quantiles(np.array([0.9, 0.1, 0.5, 0.3, 0.7])).tolist() == [4, 0, 2, 1, 3]
    counts = np.bincount(quantiles(np.linspace(0, 1, 100)))
    assert counts.tolist() == [20] * 5


def test_equal_problems_share_a_quantile() -> None:
    # Six unsolved ones are the lower six ranks, at 3.5 of 11 on average.
    assert quantiles(np.array([0.0] * 6 + [0.2, 0.4, 0.6, 1.0])).tolist() == [1] * 6 + [3, 3, 4, 4]
    assert len(set(quantiles(np.zeros(7)).tolist())) == 1


@CHECKED
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30))
def test_quantiles_rise_with_pass_at_1_and_lie_below_their_count(values: list[float]) -> None:
    found = quantiles(np.array(values), count=4).tolist()
    assert all(0 <= place < 4 for place in found)
    ranked = sorted(zip(values, found, strict=True))
    assert [place for _, place in ranked] == sorted(found)
    assert len(set(ranked)) == len(set(values))


def test_the_features_of_a_pilot_by_hand() -> None:
    pilot = candidates(["a", "b", "a", None], [True] * 4, [[0.9, 0.4], [0.8], [0.2, 0.6], []])
    found = dict(zip(FEATURES, features_of(pilot, [9, 19, 99, 0]).tolist(), strict=True))
    assert found == {
        "last_score": pytest.approx((0.4 + 0.8 + 0.6 + 0) / 4),  # without a step, as if it scored 0
        "best_last_score": 0.8,
        "min_score": pytest.approx((0.4 + 0.8 + 0.2 + 0) / 4),
        "agreement": 0.5,
        "unanswered": 0.25,
        "log_tokens": pytest.approx((np.log(10) + np.log(20) + np.log(100)) / 4),
    }


def test_a_pilot_without_any_answer_agrees_on_nothing() -> None:
    pilot = candidates([None, None], [False] * 2, [[0.5], [0.5]])
    found = dict(zip(FEATURES, features_of(pilot, [1, 1]).tolist(), strict=True))
    assert (found["agreement"], found["unanswered"]) == (0.0, 1.0)


def test_the_features_do_not_know_what_is_right() -> None:
    pilots = [candidates(["a", "b"], [right, not right], [[0.5], [0.6]]) for right in (True, False)]
    assert features_of(pilots[0], [3, 4]).tolist() == features_of(pilots[1], [3, 4]).tolist()


@pytest.mark.parametrize("scores", [None, []])
def test_there_is_no_prediction_without_scored_rollouts(scores: list[list[float]] | None) -> None:
    with pytest.raises(ValueError, match="from one scored rollout at least"):
        features_of(candidates([], [], scores), [])


def drawn_features(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, len(FEATURES)))


def test_the_predictor_finds_the_weights_that_made_the_problems() -> None:
    features = drawn_features(20_000)
    bias, weights = -0.5, np.array([1.5, -1.0, 0.5, 0.0, 0.25, -2.0])
    right = np.random.default_rng(1).binomial(16, special.expit(bias + features @ weights))
    found = fit_predictor(features, right / 16)
    assert found.bias == pytest.approx(bias, abs=0.03)
    assert list(found.weights.values()) == pytest.approx(weights, abs=0.03)


def test_what_it_predicts_is_calibrated_on_other_problems() -> None:
    features, others = drawn_features(2000), drawn_features(2000, seed=5)
    weights = np.array([2.0, 0, 0, -1.0, 0, 0.5])
    draw = np.random.default_rng(2)
    found = fit_predictor(features, draw.binomial(8, special.expit(features @ weights)) / 8)
    known = draw.binomial(8, special.expit(others @ weights)) / 8
    curve = calibration_curve(found.pass_at_1(others), known)
    assert len(curve) == 10
    error = calibration_error(curve)
    assert error is not None and error < 0.03


def test_units_and_offsets_of_a_feature_change_nothing_that_is_predicted() -> None:
    features = drawn_features(300)
    share = special.expit(features[:, 0])
    scales, offsets = np.array([1, 10, 0.1, 100, 1, 3]), np.array([0, 5, -2, 0, 9, 1])
    plain = fit_predictor(features, share).pass_at_1(features)
    other = fit_predictor(features * scales + offsets, share).pass_at_1(features * scales + offsets)
    assert other == pytest.approx(plain, abs=1e-4)


def test_a_feature_that_never_changes_and_one_that_tells_all_leave_the_weights_finite() -> None:
    features = drawn_features(100)
    features[:, 4] = 0.0
    found = fit_predictor(features, (features[:, 0] > 0).astype(float))
    assert found.weights["unanswered"] == 0.0
    assert np.isfinite(list(found.weights.values())).all()
    assert ((found.pass_at_1(features) > 0.5) == (features[:, 0] > 0)).mean() > 0.95


@CHECKED
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_on_average_it_predicts_the_pass_at_1_it_was_fitted_to(count: int, seed: int) -> None:
    features = drawn_features(count, seed)
    share = np.random.default_rng(seed + 1).uniform(0.1, 0.9, size=count)
    assert fit_predictor(features, share).pass_at_1(features).mean() == pytest.approx(share.mean(), abs=1e-3)


def test_a_predictor_needs_problems() -> None:
    with pytest.raises(ValueError, match="to one problem at least"):
        fit_predictor(np.empty((0, len(FEATURES))), np.empty(0))


def test_the_order_in_which_weights_are_written_changes_nothing() -> None:
    weights = dict(zip(FEATURES, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), strict=True))
    backwards = dict(reversed(weights.items()))
    features = drawn_features(3)
    expected = Predictor(bias=0.1, weights=weights).pass_at_1(features)
    assert Predictor(bias=0.1, weights=backwards).pass_at_1(features).tolist() == expected.tolist()


@pytest.mark.parametrize("weights", [{}, {"luck": 1.0}, dict.fromkeys((*FEATURES, "luck"), 1.0)])
def test_a_predictor_of_other_features_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="weights are of last_score, best_last_score"):
        Predictor(bias=0, weights=weights)


def test_confusion_counts_known_by_predicted() -> None:
    counts = confusion(["easy", "easy", "hard", "medium"], ["easy", "hard", "hard", "easy"])
    assert counts.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]


def test_calibration_takes_shares_as_well_as_verdicts() -> None:
    curve = calibration_curve(np.array([0.1, 0.12, 0.9]), np.array([0.0, 0.5, 0.75]), bins=2)
    assert [(part.count, part.mean_score, part.share_right) for part in curve] == [
        (2, pytest.approx(0.11), 0.25),
        (1, 0.9, 0.75),
    ]
    assert calibration_error(curve) == pytest.approx((2 * 0.14 + 0.15) / 3)
