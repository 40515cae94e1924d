"""Accuracy at every budget n from one sampling pass of N rollouts, with an interval over problems.

For one problem the estimate is the mean, over all subsets of n of its N rollouts, of whether the selector's choice is
right: unbiased for n fresh rollouts. Where that mean has a closed form (pass@n; the best score; one rollout; all of
them) it is exact, otherwise it is a Monte Carlo over seeded random subsets.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from tasks.analysis.selectors import Booleans, Candidates, Floats, Integers, Selector, choose, weights

Estimator = Literal["exact", "monte_carlo"]
SUBSETS = 400
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """The probability in [0, 1] that one problem is answered rightly from n rollouts."""

    accuracy: float
    estimator: Estimator


def estimate(selector: Selector, rollouts: Candidates, n: int, seed: int) -> Estimate:
    """Expected accuracy of `selector` on n of a problem's N rollouts. Raises ValueError unless 1 <= n <= N."""
    count = rollouts.count
    if not 1 <= n <= count:
        raise ValueError(f"n = {n} must lie within 1..{count}, the rollouts there are")
    if n == count:
        chosen = choose(selector, rollouts)
        return Estimate(float(chosen is not None and rollouts.correct[chosen]), "exact")
    if selector == "oracle":
        return Estimate(pass_at_n(int(rollouts.correct.sum()), count, n), "exact")
    values = weights(selector, rollouts)
    if n == 1:
        return Estimate(float((rollouts.correct & ~np.isnan(values)).sum() / count), "exact")
    if selector.endswith("_max"):
        return Estimate(best_of(values, rollouts.correct, n), "exact")
    return Estimate(vote_of(values, rollouts.groups, rollouts.correct, n, seed), "monte_carlo")


def pass_at_n(right: int, count: int, n: int) -> float:
    """P(one right at least among n of `count` rollouts, `right` of them right): 1 - C(count-right, n)/C(count, n)."""
    return 1 - comb(count - right, n) / comb(count, n)


def best_of(values: Floats, correct: Booleans, n: int) -> float:
    """P(the highest-valued of n of N rollouts is right); NaN values are never chosen, ties go to the first.

    The rollout with r others above it is the best of a subset in C(N-1-r, n-1) of the C(N, n) subsets.
    """
    count = len(values)
    eligible = np.flatnonzero(~np.isnan(values))
    ranked = eligible[np.argsort(-values[eligible], kind="stable")]
    # Those without a say never stand above anyone, so the best r-th is best whenever the r above it are absent.
    wins = sum(comb(count - 1 - rank, n - 1) for rank, index in enumerate(ranked) if correct[index])
    return wins / comb(count, n)


def vote_of(values: Floats, groups: Integers, correct: Booleans, n: int, seed: int) -> float:
    """Mean accuracy of a weighted vote over random subsets of n of N rollouts; ties go to the first encountered."""
    count, kinds = len(values), int(groups.max()) + 1
    if kinds == 0:
        return 0.0
    subsets = random_subsets(count, n, seed)
    rows = np.repeat(np.arange(len(subsets)), n)
    flat = subsets.ravel()
    has_say = ~np.isnan(values[flat])
    rows, flat = rows[has_say], flat[has_say]
    cells = rows * kinds + groups[flat]
    size = len(subsets) * kinds
    totals = np.bincount(cells, weights=values[flat], minlength=size).reshape(-1, kinds)
    present = np.bincount(cells, minlength=size).reshape(-1, kinds) > 0
    first = np.full(size, count)
    np.minimum.at(first, cells, flat)
    totals[~present] = -1.0
    tied = totals == totals.max(axis=1, keepdims=True)
    winner_first = np.where(tied & present, first.reshape(-1, kinds), count).min(axis=1)
    right = np.append(correct, False)  # a subset in which nobody has a say points past the end
    return float(right[winner_first].mean())


@lru_cache(maxsize=64)
def random_subsets(count: int, n: int, seed: int) -> Integers:
    """(SUBSETS, n) indices below `count`, each row a random subset in ascending order; the same for the same seed."""
    generator = np.random.default_rng([seed, count, n])
    order: npt.NDArray[np.int64] = np.argsort(generator.random((SUBSETS, count)), axis=1)[:, :n]
    return np.sort(order, axis=1)


def bootstrap_interval(accuracies: Floats, seed: int) -> tuple[float, float] | None:
    """95 % percentile-bootstrap interval of the mean over problems; None for fewer than two problems."""
    if len(accuracies) < 2:
        return None
    result = stats.bootstrap(
        (accuracies,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
