"""The rows of prm_metrics: each figure beside what it rests on, by hand."""

import numpy as np
import pytest

from overthink.tasks.analysis.prm_measures import (
    Figure,
    doubling_budgets,
    first_error_figures,
    lacking_kind,
    length_figures,
    ranking_figures,
    selection_figures,
)
from overthink.tasks.analysis.prm_quality import FirstError
from overthink.tasks.analysis.selectors import candidates

CHOOSING = [FirstError((0.9, 0.2), 1), FirstError((0.9, 0.8), None)]
JUDGED = [FirstError((0.9, 0.1), 1), FirstError((0.3, 0.9), 1), FirstError((0.9, 0.9), None)]


def test_the_threshold_comes_from_other_solutions_than_the_figures() -> None:
    threshold, f1, on_wrong, on_right, *curve = first_error_figures(CHOOSING, JUDGED)
    assert threshold.value is not None and 0.2 < threshold.value <= 0.8
    assert threshold.count == 2
    # Above 0.3 the second solution is accused at its first step, which is right; up to there only its error is missed.
    assert (on_wrong.value, on_wrong.count) == (0.5, 2)
    assert (on_right.value, on_right.count) == (1.0, 1)
    assert (f1.value, f1.count, f1.point) == (pytest.approx(2 / 3), 3, threshold.value)
    assert [figure.point for figure in curve] == pytest.approx([place / 50 for place in range(51)])


@pytest.mark.parametrize(
    ("choosing", "judged", "side"),
    [
        ([True], [True, False], "of the 1 that choose the threshold, 1 have a wrong step"),
        ([True, False], [False, False], "of the 2 that are judged by it, 0 have"),
        ([], [True, False], "of the 0 that choose the threshold"),
    ],
)
def test_what_f1_lacks_is_said(choosing: list[bool], judged: list[bool], side: str) -> None:
    assert side in str(lacking_kind(choosing, judged))


def test_f1_lacks_nothing_with_both_kinds_on_both_sides() -> None:
    assert lacking_kind([True, False], [False, True]) is None


def test_ranking() -> None:
    figures = list(ranking_figures(np.array([0.05, 0.95, 0.98]), np.array([False, True, False]), "min"))
    assert figures[0] == Figure("auc", 0.5, 3, "min")
    assert figures[1] == Figure("calibration_error", pytest.approx((0.05 + 2 * 0.465) / 3), 3, "min")
    assert figures[2:] == [
        Figure("mean_score", 0.05, 1, "min", 0.0),
        Figure("share_right", 0.0, 1, "min", 0.0),
        Figure("mean_score", pytest.approx(0.965), 2, "min", 0.9),
        Figure("share_right", 0.5, 2, "min", 0.9),
    ]


def test_what_cannot_be_known_is_none_and_not_0() -> None:
    nothing, right = np.array([]), np.array([], dtype=bool)
    assert [figure.value for figure in ranking_figures(nothing, right, None)] == [None, None]
    assert [figure.value for figure in length_figures(nothing, nothing, right, "min")] == [None, None]


def test_length_bias_is_of_right_and_of_wrong_ones() -> None:
    scores, tokens = np.array([0.1, 0.2, 0.3, 0.5]), np.array([1.0, 2.0, 3.0, 4.0])
    right = np.array([True, True, True, False])
    assert list(length_figures(scores, tokens, right, "last")) == [
        Figure("length_bias_right", pytest.approx(1.0), 3, "last"),
        Figure("length_bias_wrong", None, 1, "last"),
    ]


# The best-scored of four is wrong; a rollout without an answer has the highest score of all, and no say.
FOOLED = candidates(["a", "b", "a", "a", None], [True, False, True, True, False], [[0.6], [0.9], [0.5], [0.4], [1.0]])


def test_selection() -> None:
    figures = {(one.measure, one.aggregation, one.point): one for one in selection_figures([FOOLED], [1, 5], seed=0)}
    assert figures["misled_by_max", "min", None] == Figure("misled_by_max", 1.0, 1, "min")
    assert figures["accuracy_of_max", "min", 1].value == pytest.approx(3 / 5)
    assert figures["accuracy_of_max", "min", 5].value == 0.0
    assert figures["accuracy_of_majority", None, 5].value == 1.0
    assert figures["accuracy_of_oracle", None, 1].value == pytest.approx(3 / 5)
    assert len(figures) == 4 + 2 * 6


def test_a_problem_without_a_right_answer_misleads_nobody() -> None:
    hopeless = candidates(["a"], [False], [[0.6]])
    figure = next(iter(selection_figures([hopeless], [1], seed=0)))
    assert (figure.value, figure.count) == (None, 0)


@pytest.mark.parametrize(("n", "budgets"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_budgets_double_up_to_n(n: int, budgets: list[int]) -> None:
    assert doubling_budgets(n) == budgets
