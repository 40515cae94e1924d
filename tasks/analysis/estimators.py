"""Accuracy at every budget n from one sampling pass of N rollouts.

For one problem the estimate is the mean, over all subsets of n of its N rollouts, of whether the selector's choice is
right: unbiased for n fresh rollouts. It is exact where that mean has a closed form (pass@n, the best score) or where
there are few enough subsets to try them all, otherwise a Monte Carlo over seeded random subsets.

Where verdicts are unknown the mean is too: it is bounded, by taking all of them for wrong and all of them for right.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from overthink.tasks.analysis.ballots import Ballot, as_valued
from overthink.tasks.analysis.selectors import (
    Booleans,
    Candidates,
    Floats,
    Integers,
    Selector,
    any_right,
    best,
    selector_of,
    values_of,
    vote,
)

Estimator = Literal["exact", "monte_carlo"]
Chance = Callable[[Booleans], float]  # the probability that the chosen rollout is a marked one
SUBSETS = 400
NOTHING = 1e-9  # probabilities below this are rounding errors


@dataclass(frozen=True)
class Estimate:
    """The probability in [0, 1] that one problem is answered correctly from n rollouts.

    `low` counts every unknown verdict as wrong, `high` as right.
    """

    low: float
    high: float
    estimator: Estimator

    @property
    def unknown(self) -> float:
        """The probability that the verdict on the chosen answer is unknown; for `oracle`, that it could be either."""
        return self.high - self.low

    @property
    def accuracy(self) -> float | None:
        """The probability of a right answer among those whose verdict is known; None where none is."""
        known = 1 - self.unknown
        return self.low / known if known > NOTHING else None


def estimates(
    selectors: Sequence[str], rollouts: Candidates, budgets: Iterable[int], seed: int
) -> dict[tuple[str, int], Estimate]:
    """Expected accuracy of each selector on each n of a problem's N rollouts; only on N if it serves no subsets.

    Raises ValueError unless 1 <= n <= N.
    """
    count = rollouts.count
    chosen = [selector_of(name) for name in selectors]
    values = {selector.name: values_of(selector.name, rollouts) for selector in chosen}
    found: dict[tuple[str, int], Estimate] = {}
    for n in budgets:
        if not 1 <= n <= count:
            raise ValueError(f"n = {n} must lie within 1..{count}, the rollouts there are")
        for selector in chosen:
            if selector.serves_subsets or n == count:
                found[selector.name, n] = _estimate(selector, values[selector.name], rollouts, n, seed)
    return found


def _estimate(selector: Selector, values: Floats, rollouts: Candidates, n: int, seed: int) -> Estimate:
    if selector.pick is any_right:
        return _bounded(partial(_pass_among, n), rollouts, "exact")
    if selector.pick is best and selector.ballot is as_valued:
        return _bounded(partial(best_of, values, n), rollouts, "exact")
    enumerable = has_few_subsets(rollouts.count, n)
    subsets = all_subsets(rollouts.count, n) if enumerable else random_subsets(rollouts.count, n, seed)
    return _bounded(
        _by_subsets(selector, values, rollouts, subsets), rollouts, "exact" if enumerable else "monte_carlo"
    )


def estimates_after(
    selectors: Sequence[str], rollouts: Candidates, pilot: int, n: int, seed: int
) -> dict[str, Estimate]:
    """Expected accuracy of each selector on n of a problem's N rollouts, its first `pilot` always among them.

    So an estimate that is conditioned on the pilot's features holds for rollouts that follow the same pilot.
    Raises ValueError unless pilot <= n <= N.
    """
    if not pilot <= n <= rollouts.count:
        raise ValueError(f"n = {n} must lie within {pilot}..{rollouts.count}, the pilot and the rollouts there are")
    others = rollouts.count - pilot, n - pilot
    enumerable = has_few_subsets(*others)
    drawn = all_subsets(*others) if enumerable else random_subsets(*others, seed)
    subsets = np.column_stack([np.tile(np.arange(pilot), (len(drawn), 1)), drawn + pilot])
    found: dict[str, Estimate] = {}
    for name in selectors:
        chance = _by_subsets(selector_of(name), values_of(name, rollouts), rollouts, subsets)
        found[name] = _bounded(chance, rollouts, "exact" if enumerable else "monte_carlo")
    return found


def _by_subsets(selector: Selector, values: Floats, rollouts: Candidates, subsets: Integers) -> Chance:
    """The probability that the choice among a subset's rollouts is a marked one."""
    rollouts = rollouts.joined_by(selector.joined_by)
    if selector.pick is any_right:
        return partial(_any_among, subsets)
    if selector.pick is vote:
        return partial(vote_of, values, rollouts.groups, subsets, ballot=selector.ballot)
    if selector.pick is best:  # each rollout is its own group: then the vote chooses the best one
        return partial(vote_of, values, np.arange(rollouts.count), subsets)
    votes = selector.ballot(values[subsets])
    picked = [selector.pick(rollouts.at(subset), row) for subset, row in zip(subsets, votes, strict=True)]
    places = [len(values) if one is None else subset[one] for one, subset in zip(picked, subsets, strict=True)]
    return lambda marked: float(np.append(marked, False)[places].mean())


def _bounded(chance: Chance, rollouts: Candidates, estimator: Estimator) -> Estimate:
    low = chance(rollouts.correct)
    high = chance(rollouts.correct | rollouts.unknown) if rollouts.unknown.any() else low
    return Estimate(low, high, estimator)


def _pass_among(n: int, marked: Booleans) -> float:
    return pass_at_n(int(marked.sum()), len(marked), n)


def _any_among(subsets: Integers, marked: Booleans) -> float:
    return float(marked[subsets].any(axis=1).mean())


def pass_at_n(right: int, count: int, n: int) -> float:
    """P(one right at least among n of `count` rollouts, `right` of them right): 1 - C(count-right, n)/C(count, n)."""
    return 1 - comb(count - right, n) / comb(count, n)


def best_of(values: Floats, n: int, correct: Booleans) -> float:
    """P(the highest-valued of n of N rollouts is right); NaN values are never chosen, ties go to the first."""
    eligible = np.flatnonzero(~np.isnan(values))
    ranked = eligible[np.argsort(-values[eligible], kind="stable")]
    # Rollouts with NaN rank below all others, so the one of rank r wins whenever the r above it are absent.
    return float(chances_of_ranks(len(values), n)[: len(ranked)][correct[ranked]].sum())


@lru_cache(maxsize=64)
def chances_of_ranks(count: int, n: int) -> Floats:
    """(count,) P(the r-th from above, r from 0, is the best of a subset of n): C(count-1-r, n-1) / C(count, n)."""
    return np.array([comb(count - 1 - rank, n - 1) / comb(count, n) for rank in range(count)])


def vote_of(
    values: Floats, groups: Integers, subsets: Integers, correct: Booleans, ballot: Ballot = as_valued
) -> float:
    """Mean accuracy of a weighted vote over `subsets`, (any, n) ascending indices; ties go to the first encountered."""
    count, kinds = len(values), int(groups.max()) + 1
    columns, votes = groups[subsets], ballot(values[subsets])
    silent = np.isnan(votes)
    if silent.any():  # they vote in an extra last column, which is cut off
        columns[silent], votes = kinds, np.where(silent, 0.0, votes)
    cells = (np.arange(len(subsets))[:, np.newaxis] * (kinds + 1) + columns).ravel()
    size = len(subsets) * (kinds + 1)
    totals = np.bincount(cells, weights=votes.ravel(), minlength=size).reshape(-1, kinds + 1)[:, :kinds]
    first = np.full(size, count)
    np.minimum.at(first, cells, subsets.ravel())
    first = first.reshape(-1, kinds + 1)[:, :kinds]
    totals = np.where(first < count, totals, -np.inf)
    leading = totals == totals.max(axis=1, keepdims=True, initial=-np.inf)
    chosen = np.where(leading, first, count).min(axis=1, initial=count)
    right = np.append(correct, False)  # the index of a subset without any vote points past the end
    return float(right[chosen].mean())


def has_few_subsets(count: int, n: int) -> bool:
    """Whether all subsets of n are few enough to enumerate; always so for n of 1, count - 1 and count."""
    return comb(count, n) <= max(SUBSETS, count)


@lru_cache(maxsize=64)
def all_subsets(count: int, n: int) -> Integers:
    """(C(count, n), n) indices below `count`: every subset once, each row in ascending order."""
    return np.array(list(combinations(range(count), n)), dtype=np.int64)


@lru_cache(maxsize=64)
def random_subsets(count: int, n: int, seed: int) -> Integers:
    """(SUBSETS, n) indices below `count`, each row a random subset in ascending order; the same for the same seed."""
    generator = np.random.default_rng([seed, count, n])
    order: npt.NDArray[np.int64] = np.argsort(generator.random((SUBSETS, count)), axis=1)[:, :n]
    return np.sort(order, axis=1)
