"""Two pools of rollouts as one: the same as if all had been in one pool from the beginning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.analysis.selectors import SELECTORS, candidates, choose
from tasks.selecting import Graded, together

Drawn = list[tuple[str | None, bool, list[float]]]  # an answer's key, whether it is right, the scores of its steps
POOLS = st.lists(
    st.tuples(st.sampled_from(["1", "2", "3", None]), st.booleans(), st.lists(st.floats(0, 1), max_size=3)), max_size=6
)


def graded(drawn: Drawn) -> Graded:
    answers, correct, scores = ([row[column] for row in drawn] for column in range(3))
    return Graded(answers, correct, candidates(answers, correct, scores))


@given(POOLS, POOLS)
@settings(deadline=None, derandomize=True, max_examples=100)
def test_no_rollout_is_lost_or_doubled_and_equal_answers_vote_together(pilot: Drawn, rest: Drawn) -> None:
    both, whole = together(graded(pilot), graded(rest)), graded([*pilot, *rest])
    assert (both.answers, both.correct) == (whole.answers, whole.correct)
    np.testing.assert_array_equal(both.all.groups, whole.all.groups)
    np.testing.assert_array_equal(both.all.correct, whole.all.correct)
    for name, values in whole.all.scores.items():
        np.testing.assert_array_equal(both.all.scores[name], values)
    assert [choose(one, both.all) for one in SELECTORS] == [choose(one, whole.all) for one in SELECTORS]


def test_an_answer_of_the_rest_joins_the_pilots_group() -> None:
    both = together(graded([("2", False, [0.9]), ("1", True, [0.4])]), graded([("1", True, [0.3]), (None, False, [])]))
    assert both.all.groups.tolist() == [0, 1, 1, -1]
    assert both.all.scores["last"] == pytest.approx([0.9, 0.4, 0.3, np.nan], nan_ok=True)
    assert (choose("majority", both.all), choose("prm_last_max", both.all)) == (1, 0)
