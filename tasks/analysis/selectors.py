"""How one answer is chosen among a problem's rollouts (paper section 2, Scores and Selection)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

Aggregation = Literal["min", "last", "mean", "prod"]
Selector = Literal[
    "majority",
    "prm_min_max",
    "prm_last_max",
    "prm_mean_max",
    "prm_prod_max",
    "prm_min_vote",
    "prm_last_vote",
    "prm_mean_vote",
    "prm_prod_vote",
    "oracle",
]
SELECTORS: tuple[Selector, ...] = get_args(Selector)
BY_STRATEGY = "strategy"  # stands in the tables for whichever selector a strategy chose for a problem
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def needs_prm(selector: Selector) -> bool:
    """Whether a selector reads step scores."""
    return selector.startswith("prm_")


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


@dataclass(frozen=True)
class Candidates:
    """One problem's N rollouts in the order of their sample index.

    `groups` (N,) numbers equal answers alike, -1 for no answer; `correct` (N,) marks the right ones, `unknown` (N,) the
    answers without a verdict, and no rollout is marked by both; `scores` maps each aggregation to (N,) numbers in
    [0, 1], NaN where unknown.
    """

    groups: Integers
    correct: Booleans
    unknown: Booleans
    scores: dict[Aggregation, Floats]

    @property
    def count(self) -> int:
        """N."""
        return len(self.groups)

    def first(self, n: int) -> "Candidates":
        """The first n of them."""
        scores = {name: values[:n] for name, values in self.scores.items()}
        return Candidates(self.groups[:n], self.correct[:n], self.unknown[:n], scores)


def candidates(
    answer_groups: Sequence[str | None], correct: Sequence[bool | None], step_scores: Sequence[Sequence[float]] | None
) -> Candidates:
    """Arrays of one problem's rollouts.

    `answer_groups` names equal answers alike, None for no answer; `correct` is None where unknown; `step_scores` is
    None where no PRM scored them.
    """
    numbers: dict[str, int] = {}
    groups = [-1 if group is None else numbers.setdefault(group, len(numbers)) for group in answer_groups]
    scores: dict[Aggregation, Floats] = {}
    if step_scores is not None:
        scores = {name: np.array([aggregate(row, name) for row in step_scores]) for name in AGGREGATIONS}
    right = np.array([verdict is True for verdict in correct], dtype=np.bool_)
    unknown = np.array(
        [verdict is None and group >= 0 for verdict, group in zip(correct, groups, strict=True)], dtype=np.bool_
    )
    return Candidates(np.array(groups, dtype=np.int64), right, unknown, scores)


def weights(selector: Selector, rollouts: Candidates) -> Floats:
    """What each rollout brings to the choice, (N,): a vote of 1, or its aggregated score; NaN where it has no say.

    A rollout without an answer, or without a score that the selector needs, has no say.
    """
    if selector in ("majority", "oracle"):
        values = np.ones(rollouts.count)
    else:
        values = rollouts.scores[_aggregation(selector)].copy()
    values[rollouts.groups < 0] = np.nan
    return values


def choose(selector: Selector, rollouts: Candidates) -> int | None:
    """The index of a rollout that holds the chosen answer, or None where no rollout has a say.

    Ties go to the first encountered. `oracle` takes a right one where there is one, else one that may be right.
    """
    values = weights(selector, rollouts)
    eligible = np.flatnonzero(~np.isnan(values))
    if not len(eligible):
        return None
    if selector == "oracle":
        promise = 2 * rollouts.correct[eligible] + rollouts.unknown[eligible]
        return int(eligible[np.argmax(promise)])
    if selector.endswith("_max"):
        return int(eligible[np.argmax(values[eligible])])
    totals = np.bincount(rollouts.groups[eligible], weights=values[eligible])
    present, first = np.unique(rollouts.groups[eligible], return_index=True)
    best = present[totals[present] == totals[present].max()]
    return int(eligible[min(first[np.isin(present, best)])])


def _aggregation(selector: Selector) -> Aggregation:
    for name in AGGREGATIONS:
        if selector.startswith(f"prm_{name}_"):
            return name
    raise ValueError(f"selector {selector!r} reads no scores")
