"""Measures of a PRM: ranking, calibration, length bias, and how often its best-scored answer is wrong.

All functions take one number per rollout (or step) and whether it is right, however it was scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
BINS = 10


def auc(scores: Floats, right: Booleans) -> float | None:
    """P(a right one scores above a wrong one), ties counting half; None where all are right or all are wrong."""
    if right.all() or not right.any():
        return None
    wins = scipy.stats.mannwhitneyu(scores[right], scores[~right]).statistic
    return float(wins / (right.sum() * (~right).sum()))


@dataclass(frozen=True)
class Bin:
    """The scores in [low, high) (the last bin with 1), their mean, and the share of right ones among them."""

    low: float
    high: float
    count: int
    mean_score: float
    share_right: float


def calibration_curve(scores: Floats, right: Booleans | Floats, bins: int = BINS) -> list[Bin]:
    """Scores in [0, 1] in bins of equal width; empty bins are left out.

    `right` is whether each is right, or the share of right ones among several draws.
    """
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            count=int((place == number).sum()),
            mean_score=float(scores[place == number].mean()),
            share_right=float(right[place == number].mean()),
        )
        for number in np.unique(place).tolist()
    ]


def calibration_error(curve: Sequence[Bin]) -> float | None:
    """Expected calibration error: the mean distance of score and share of right ones, each bin by its count."""
    total = sum(part.count for part in curve)
    if total == 0:
        return None
    return sum(part.count * abs(part.mean_score - part.share_right) for part in curve) / total


def length_bias(scores: Floats, tokens: Floats, right: Booleans) -> dict[bool, float | None]:
    """Spearman's rank correlation of score and tokens among right and among wrong ones; 0 is no bias.

    None where there are fewer than three, or all are alike.
    """
    found: dict[bool, float | None] = {}
    for kind in (True, False):
        chosen = right == kind
        alike = len(np.unique(scores[chosen])) < 2 or len(np.unique(tokens[chosen])) < 2
        found[kind] = (
            None if chosen.sum() < 3 or alike else float(scipy.stats.spearmanr(scores[chosen], tokens[chosen])[0])
        )
    return found


def is_misled_by_max(scores: Floats, right: Booleans) -> bool | None:
    """Whether a problem's best-scored rollout is wrong (the first, among equals); None where no rollout is right.

    Both have one entry per rollout.
    """
    return not right[np.argmax(scores)] if right.any() else None


@dataclass(frozen=True)
class FirstError:
    """Scores of one solution's steps, and the place of its first wrong step, from 0; None where all are right."""

    scores: tuple[float, ...]
    wrong: int | None


@dataclass(frozen=True)
class ErrorDetection:
    """ProcessBench's figures at a threshold: shares in [0, 1] of solutions whose first wrong step is found exactly.

    `on_wrong` is over solutions with a wrong step, `on_right` over those without, `f1` their harmonic mean.
    """

    threshold: float
    on_wrong: float
    on_right: float

    @property
    def f1(self) -> float:
        """0 where either is 0."""
        total = self.on_wrong + self.on_right
        return 2 * self.on_wrong * self.on_right / total if total else 0.0


def detect_errors(solutions: Sequence[FirstError], threshold: float) -> ErrorDetection:
    """Predict the first step that scores below `threshold` as the first wrong one.

    Raises ValueError unless there are solutions with a wrong step and without one.
    """
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for solution in solutions:
        told = next((place for place, score in enumerate(solution.scores) if score < threshold), None)
        hits[solution.wrong is None].append(told == solution.wrong)
    if not (hits[True] and hits[False]):
        raise ValueError("F1 needs solutions with a wrong step and solutions without one")
    return ErrorDetection(threshold, sum(hits[False]) / len(hits[False]), sum(hits[True]) / len(hits[True]))


def best_threshold(solutions: Sequence[FirstError]) -> float:
    """The threshold with the highest F1 on these solutions, the lowest such; use it only on other solutions.

    Tried are the quantiles of all scores, half a percent apart.
    """
    scores = [score for solution in solutions for score in solution.scores]
    candidates = np.unique(np.quantile(scores, np.linspace(0, 1, 201))).tolist()
    best: float = max(candidates, key=lambda threshold: (detect_errors(solutions, threshold).f1, -threshold))
    return best
