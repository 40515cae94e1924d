"""Majority without end (Best-of-∞, 2026): which answer is the likeliest, and where a vote of ever more rollouts ends.

As N grows, the majority becomes the likeliest answer, the mode. Which answer that is follows from the votes there are:
with a uniform prior over the answers seen and one for all unseen ones, their probabilities are Dirichlet(1 + votes),
with 0 votes for the unseen. Rollouts without an answer have no vote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from overthink.tasks.analysis.intervals import CONFIDENCE, mean_interval
from overthink.tasks.analysis.selectors import Booleans, Candidates, Floats, Integers

NEGLIGIBLE = 100.0  # weights below exp(-this) of the largest are left out
NODES_A_WIDTH = 4  # of the narrowest peak in the integral; its error falls with the exponential of the square


def mode_doubts(votes: Sequence[int]) -> Floats:
    """(answers,) P(an answer is not the mode), in [0, 1], for the votes of each answer seen, each at least 1.

    A Dirichlet draw is one of independent gammas, divided by their sum. So the probability is the mean, over the
    gamma of the answer, of P(any other gamma is larger). Small ones are exact to many digits.
    """
    doubts = _doubts(tuple(sorted(votes)))
    return np.array([doubts[count] for count in votes], dtype=np.float64)


@lru_cache(maxsize=10_000)  # a few votes are divided in few ways, and a set has many problems
def _doubts(votes: tuple[int, ...]) -> Mapping[int, float]:
    """The doubt about an answer, by the number of its votes."""
    shapes, counts = np.unique(np.array([*votes, 0]) + 1, return_counts=True)
    seen = range(1, len(shapes))  # the first shape is that of the unseen answers
    return {int(shapes[place]) - 1: _doubt(shapes, counts, place) for place in seen}


def _doubt(shapes: Integers, counts: Integers, place: int) -> float:
    """P(not the largest) of a gamma of `shapes[place]` among `counts` of each shape, by the trapezoid rule on log x."""
    shape = float(shapes[place])
    lowest, highest = -1 - NEGLIGIBLE / shape, np.log1p(15 / np.sqrt(shape) + NEGLIGIBLE / shape)
    step = 1 / (NODES_A_WIDTH * np.sqrt(float(shapes.max())))
    logs = np.log(shape) + np.arange(lowest, highest, step)
    weights = np.exp(shape * logs - np.exp(logs) - scipy.special.gammaln(shape)) * step
    others = counts - (np.arange(len(counts)) == place)
    with np.errstate(divide="ignore"):
        below = [
            count * np.log1p(-scipy.special.gammaincc(other, np.exp(logs)))
            for other, count in zip(shapes, others, strict=True)
            if count
        ]
    return min(1.0, float(-(weights * np.expm1(np.sum(below, axis=0))).sum()))


def bayes_factor(votes: Sequence[int]) -> float:
    """K · P(mode) / (1 − P(mode)) of the leading answer, K of them with the unseen; 0 where there is no vote.

    That is how much likelier the votes are if the leader is the mode than if it is not, where each of K answers was as
    likely to be it before.
    """
    if not votes:
        return 0.0
    doubt = float(mode_doubts(votes)[int(np.argmax(votes))])
    return (len(votes) + 1) * (1 - doubt) / doubt if doubt else float("inf")


def limit_of(rollouts: Candidates) -> tuple[float, float]:
    """P(the mode is right) for one problem, in [0, 1]: with every unknown verdict wrong, and with every one right.

    An unseen answer counts as wrong.
    """
    voted = rollouts.groups >= 0
    _, first, votes = np.unique(rollouts.groups[voted], return_index=True, return_counts=True)
    return limit_of_votes(votes.tolist(), rollouts.correct[voted][first], rollouts.unknown[voted][first])


def limit_of_votes(votes: Sequence[int], right: Booleans, unknown: Booleans) -> tuple[float, float]:
    """`limit_of` from the votes of each answer seen, which are right, and whose verdicts are unknown: (answers,)."""
    chances = 1 - mode_doubts(votes)
    return float(chances[right].sum()), float(chances[right | unknown].sum())


@dataclass(frozen=True)
class MajorityLimit:
    """The accuracy of majority for N → ∞ over `problems`, in [0, 1], and its interval.

    It is the mean of P(the mode is right), so that problems in doubt count in part. Unknown verdicts count as wrong in
    it, and as right in `highest`; in `unknown` problems it depends on them.
    """

    accuracy: float
    interval: tuple[float, float]
    highest: float
    problems: int
    unknown: int


def majority_limit(problems: Sequence[tuple[float, float]], confidence: float = CONFIDENCE) -> MajorityLimit | None:
    """The limit over problems, from that of each; None where there are none."""
    limits = np.array(problems).reshape(-1, 2)
    interval = mean_interval(limits[:, 0], confidence)
    if interval is None:
        return None
    lowest, highest = limits.mean(axis=0)
    unknown = int((limits[:, 0] < limits[:, 1]).sum())
    return MajorityLimit(float(lowest), interval, float(highest), len(limits), unknown)
