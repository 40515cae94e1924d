"""How the scores of a rollout's steps become one number."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

Aggregation = Literal["min", "last", "mean", "prod"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def aggregate(scores: Sequence[float], aggregation: Aggregation) -> float:
    """One number in [0, 1] for a rollout's step scores; NaN for a rollout without steps."""
    if not scores:
        return float("nan")
    values = np.asarray(scores, dtype=np.float64)
    match aggregation:
        case "min":
            return float(values.min())
        case "last":
            return float(values[-1])
        case "mean":
            return float(values.mean())
        case "prod":
            return float(values.prod())
