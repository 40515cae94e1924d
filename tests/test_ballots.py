"""Votes that depend on the other rollouts, against plain Python and hand-computed cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.analysis.ballots import Ballot, borda, first_three, ranks, top

NAN = float("nan")
ROWS = st.lists(st.one_of(st.integers(0, 6).map(float), st.just(NAN)), min_size=1, max_size=9)


def votes(ballot: Ballot, *values: float) -> list[float]:
    return [round(vote, 6) for vote in ballot(np.array([values]))[0].tolist()]


def test_of_equal_values_the_first_ranks_higher_and_unknown_ones_rank_last() -> None:
    np.testing.assert_array_equal(
        ranks(np.array([[1.0, NAN, 3.0, 1.0], [0.0, 0.0, NAN, NAN]])), [[1, 3, 0, 2], [0, 1, 2, 3]]
    )


@pytest.mark.parametrize(
    ("percent", "count", "kept"), [(10, 64, 7), (90, 64, 57), (10, 8, 1), (90, 8, 7), (10, 1, 1), (90, 2, 1)]
)
def test_the_top_percent_of_different_values(percent: int, count: int, kept: int) -> None:
    values = [float(value) for value in range(count)]
    told = votes(top(percent), *values)
    assert [vote for vote in told if not math.isnan(vote)] == values[count - kept :]


def test_what_ties_with_the_last_of_the_top_votes_too() -> None:
    assert str(votes(top(10), 2.0, 3.0, 3.0, 1.0)) == "[nan, 3.0, 3.0, nan]"


def test_borda_counts_from_the_number_of_those_that_count() -> None:
    # Ranks 2, 0, 1 of three: (3 - rank) ** 0.5
    assert str(votes(borda(0.5), 1.0, NAN, 5.0, 3.0)) == "[1.0, nan, 1.732051, 1.414214]"
    assert votes(borda(0.0), 1.0, 5.0, 3.0) == [1.0, 1.0, 1.0]


def test_the_first_three_vote_and_the_first_of_all_decides_a_tie() -> None:
    assert str(votes(first_three, -9.0, -2.0, NAN, -5.0, -2.0)) == "[nan, 1.5, nan, 1.0, 1.0]"


@settings(deadline=None, derandomize=True, max_examples=200)
@given(values=ROWS, percent=st.sampled_from([10, 25, 50, 90, 100]))
def test_the_filter_is_that_of_the_percentile(values: list[float], percent: int) -> None:
    counting = [value for value in values if not math.isnan(value)]
    bar = np.percentile(counting, 100 - percent) if counting else 0.0
    expected = [value if value >= bar - 1e-9 else NAN for value in values]
    np.testing.assert_array_equal(top(percent)(np.array([values]))[0], expected)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    rows=st.lists(
        st.lists(st.one_of(st.integers(0, 6).map(float), st.just(NAN)), min_size=5, max_size=5), min_size=1, max_size=4
    )
)
@pytest.mark.parametrize("ballot", [top(10), top(90), borda(0.5), first_three])
def test_each_set_votes_as_it_does_alone(ballot: Ballot, rows: list[list[float]]) -> None:
    together = ballot(np.array(rows))
    np.testing.assert_array_equal(together, [ballot(np.array([row]))[0] for row in rows])
