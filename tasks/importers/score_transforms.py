"""Transforms of reward models' raw scores into [0, 1]; the user names the one to apply."""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Literal

from overthink.tasks.errors import UserError

ScoreTransform = Literal["none", "sigmoid", "minmax"]


def score_transform(name: ScoreTransform, known: Iterable[float]) -> Callable[[float], float]:
    """The function from a raw score to one in [0, 1]; `known` are all known scores of the file.

    `sigmoid` is 1 / (1 + exp(-s)) of each score, `minmax` (s - lowest) / (highest - lowest) over the file, `none` the
    score itself. The function raises ValueError for a score that it cannot map. Raises UserError where all scores
    are equal, so that there is nothing to spread.
    """
    if name == "none":
        return _as_it_is
    if name == "sigmoid":
        return _sigmoid
    values = list(known)
    lowest, highest = min(values, default=0.0), max(values, default=1.0)
    if lowest == highest:
        raise UserError(f"--score-transform minmax: all scores are {lowest:g}, so they tell nothing apart")
    # In exact arithmetic, because the difference of two floats may overflow.
    width = Fraction(highest) - Fraction(lowest)
    return lambda score: float((Fraction(score) - Fraction(lowest)) / width)


def _as_it_is(score: float) -> float:
    if not 0 <= score <= 1:
        raise ValueError(f"{score:g} is not in [0, 1]; for raw scores name --score-transform sigmoid or minmax")
    return score


def _sigmoid(score: float) -> float:
    value = 1 / (1 + math.exp(-score)) if score > -700 else 0.0
    if value in (0, 1):
        raise ValueError(f"{score:g} is so far out that its sigmoid cannot be told from {value:g}: name minmax instead")
    return value
