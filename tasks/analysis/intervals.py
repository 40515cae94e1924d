"""Intervals of means over problems: Wilson's, generalised from zeros and ones to numbers between two bounds.

Wilson's interval contains every mean whose distance from the sample mean is within z of the standard errors that this
mean would have. For zeros and ones the mean determines that error. For expected accuracies, which lie anywhere in
[0, 1], it does not: here the error is that of the sample mixed with as many values at the far bound as give that mean.
For zeros and ones this mixture gives Wilson's error, and no other distribution with the sample's mean and variance has
an error that grows faster. So the interval never collapses to a point, neither at 0 and 1 nor where all values agree.
"""

import math
from dataclasses import dataclass

import scipy

from overthink.tasks.analysis.selectors import Floats

KIND = "wilson"  # in the keys of stages that hold intervals
CONFIDENCE = 0.95


def mean_interval(
    values: Floats, confidence: float = CONFIDENCE, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """Interval of the mean of values in [low, high], (problems,); None where there are none."""
    if not len(values):
        return None
    places = (values - low) / (high - low)
    mean, variance = float(places.mean()), float(places.var())
    z = float(scipy.special.ndtri((1 + confidence) / 2))
    share = z * z / (len(values) + z * z)
    lowest = max(0.0, mean - _reach(mean, variance, share))
    highest = min(1.0, mean + _reach(1 - mean, variance, share))
    return low + (high - low) * lowest, low + (high - low) * highest


def _reach(room: float, variance: float, share: float) -> float:
    """How far the interval reaches towards the bound that is `room` away from the mean."""
    if room <= 0:
        return 0.0
    half = share * (room - variance / room) / 2
    return half + math.sqrt(half * half + share * variance)


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of one option minus that of another, in [-1, 1], with its interval (None: unknown)."""

    accuracy: float
    interval: tuple[float, float] | None


def paired_difference(first: Floats, second: Floats, confidence: float = CONFIDENCE) -> PairedDifference:
    """The mean of `first` minus `second`, accuracies in [0, 1], each (problems,) in the same order.

    Hard problems are hard for both, so the interval is mostly narrower than the two intervals suggest. Raises
    ValueError where the numbers of problems differ, or are 0.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} problems cannot be paired")
    gains = first - second
    return PairedDifference(float(gains.mean()), mean_interval(gains, confidence, low=-1.0))
