"""Ballots: how heavily each rollout of a set votes where that depends on the others, by ranks or by a filter.

Each takes the values of the rollouts of some sets, (any, n), NaN where one does not count, and gives their votes, (any,
n), NaN where one has none. A rollout's rank is the number of rollouts above it; of equal values the first ranks higher.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Ballot = Callable[[Floats], Floats]


def as_valued(values: Floats) -> Floats:
    """A rollout votes as much as its value."""
    return values


def ranks(values: Floats) -> Integers:
    """(any, n) the rank of each value in its row, from 0 for the highest; NaN ranks below all others."""
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(values.shape[1])[np.newaxis, :], axis=1)
    return found


def top(percent: int) -> Ballot:
    """The filter of DeepConf (Fu et al. 2025): only the top percent vote, as much as their value.

    They are those whose value is at or above the (100 - percent)-th percentile, interpolated linearly, of all that
    count: of 64 different values 7 for 10 % and 57 for 90 %, one at least; and whatever ties with the last of them.
    """

    def ballot(values: Floats) -> Floats:
        counting = (~np.isnan(values)).sum(axis=1, keepdims=True)
        kept = counting - -(-(100 - percent) * (counting - 1) // 100)
        # An extra last column, so that there is one where no rollouts are; sorting is much faster than ranking.
        descending = -np.sort(np.pad(-values, ((0, 0), (0, 1)), constant_values=np.nan), axis=1)
        last = np.take_along_axis(descending, np.maximum(kept - 1, 0), axis=1)
        return np.where(values >= last, values, np.nan)

    return ballot


def borda(power: float) -> Ballot:
    """The Borda count of Kang et al. 2025: of N rollouts that count, that of rank r, from 0, votes (N - r)^power."""

    def ballot(values: Floats) -> Floats:
        counting = (~np.isnan(values)).sum(axis=1, keepdims=True)
        votes: Floats = np.where(np.isnan(values), np.nan, np.maximum(counting - ranks(values), 0.0) ** power)
        return votes

    return ballot


def first_three(values: Floats) -> Floats:
    """One vote for each of the three highest, of which the highest decides a tie (short-3@k, Hassid et al. 2025)."""
    rank = ranks(values)
    # Half a vote more decides each tie of three votes, and outvotes no two that agree.
    return np.where((rank < 3) & ~np.isnan(values), np.where(rank == 0, 1.5, 1.0), np.nan)
