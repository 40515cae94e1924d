"""What is said about a PRM is right: by hand, by counting, and against scikit-like definitions written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overthink.tasks.analysis.prm_quality import (
    FirstError,
    auc,
    best_threshold,
    calibration_curve,
    calibration_error,
    detect_errors,
    is_misled_by_max,
    length_bias,
)

SCORED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def split(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in pairs]), np.array([right for _, right in pairs], dtype=bool)


@given(SCORED)
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[float, bool]]) -> None:
    scores, right = split(pairs)
    wins = [(a > b) + (a == b) / 2 for a, r in pairs if r for b, s in pairs if not s]
    assert auc(scores, right) == (pytest.approx(sum(wins) / len(wins)) if wins else None)


def test_calibration_by_hand() -> None:
    curve = calibration_curve(np.array([0.05, 0.05, 0.55, 1.0]), np.array([False, True, True, True]))
    assert [(part.low, part.count, part.share_right) for part in curve] == [(0.0, 2, 0.5), (0.5, 1, 1.0), (0.9, 1, 1.0)]
    assert calibration_error(curve) == pytest.approx((2 * 0.45 + 0.45 + 0) / 4)


@given(SCORED)
def test_every_score_is_in_one_bin(pairs: list[tuple[float, bool]]) -> None:
    scores, right = split(pairs)
    curve = calibration_curve(scores, right)
    assert sum(part.count for part in curve) == len(pairs)
    assert sum(part.count * part.share_right for part in curve) == pytest.approx(right.sum())
    error = calibration_error(curve)
    assert error is not None and 0 <= error <= 1


def test_an_empty_curve_has_no_error() -> None:
    assert calibration_error([]) is None


def test_length_bias_looks_at_right_and_wrong_ones_apart() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.7])
    tokens = np.array([10.0, 20.0, 30.0, 10.0, 20.0, 30.0])
    right = np.array([True] * 3 + [False] * 3)
    assert length_bias(scores, tokens, right) == {True: pytest.approx(1), False: pytest.approx(-1)}
    assert length_bias(scores[:4], tokens[:4], right[:4]) == {True: pytest.approx(1), False: None}
    assert length_bias(np.full(6, 0.5), tokens, right) == {True: None, False: None}


def test_a_maximum_misleads_where_it_could_have_been_right() -> None:
    fooled = (np.array([0.9, 0.8]), np.array([False, True]))
    served = (np.array([0.9, 0.8]), np.array([True, False]))
    hopeless = (np.array([0.9]), np.array([False]))
    assert [is_misled_by_max(*one) for one in (fooled, served, hopeless)] == [True, False, None]


SOLUTIONS = [
    FirstError((0.9, 0.2, 0.1), 1),
    FirstError((0.9, 0.6, 0.1), 1),
    FirstError((0.9, 0.8), None),
    FirstError((0.9, 0.3), None),
]


def test_first_errors_by_hand() -> None:
    found = detect_errors(SOLUTIONS, 0.5)
    assert (found.on_wrong, found.on_right, found.f1) == (0.5, 0.5, 0.5)
    assert detect_errors(SOLUTIONS, 0.25).f1 == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert detect_errors(SOLUTIONS, 0.0).f1 == 0


def test_f1_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="needs solutions with a wrong step and solutions without"):
        detect_errors(SOLUTIONS[:2], 0.5)


def test_the_best_threshold_is_not_beaten_on_its_own_split() -> None:
    chosen = detect_errors(SOLUTIONS, best_threshold(SOLUTIONS)).f1
    assert all(detect_errors(SOLUTIONS, threshold / 50).f1 <= chosen for threshold in range(51))
