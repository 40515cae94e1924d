"""Observations made by hand or by lot, for the tests of fitting."""

from collections.abc import Sequence
from itertools import count as count_up
from typing import Any

import numpy as np
import numpy.typing as npt

from overthink.tasks.analysis.difficulty import FEATURES
from overthink.tasks.analysis.selectors import Floats, SelectorName
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Observations, Option


def option(
    accuracy: Sequence[float] | npt.NDArray[Any],
    method_id: str = "best_of_n-n16",
    selector: SelectorName = "majority",
    budget: int = 16,
    flops: float = 100.0,
    tokens: float = 10.0,
) -> Option:
    """One that costs every problem the same."""
    values = np.array(accuracy, dtype=np.float64)
    return Option(budget, method_id, selector, values, np.full(len(values), tokens), np.full(len(values), flops))


def observations(pass_at_1: Floats, options: Sequence[Option], fixed: Sequence[Option] = ()) -> Observations:
    """The first feature tells the pass@1, the others nothing."""
    features = np.zeros((len(pass_at_1), len(FEATURES)))
    features[:, 0] = pass_at_1
    any_right = {one.budget: option(np.ones(len(pass_at_1)), selector="oracle", budget=one.budget) for one in options}
    known = {budget: KnownDifficulty(pass_at_1, of(budget, options), of(budget, fixed)) for budget in any_right}
    return Observations(features, np.full(len(pass_at_1), 50.0), pass_at_1, options, fixed, any_right, known)


def of(budget: int, options: Sequence[Option]) -> list[Option]:
    return [one for one in options if one.budget == budget]


def drawn_evidence(count: int, seed: int) -> Observations:
    """Three methods of which each suits another difficulty, two selectors, two budgets; all of it noisy."""
    draw = np.random.default_rng(seed)
    pass_at_1 = draw.choice([0.0, 0.05, 0.25, 0.4, 0.7, 1.0], size=count)
    numbers = count_up(1.0)
    options = [
        option(
            (draw.random(count) < np.clip(pass_at_1 + gain * (pass_at_1 < below), 0, 1)).astype(float),
            f"{method}-n{budget}",
            selector,
            budget,
            flops=100.0 * budget + number,
            tokens=next(numbers),
        )
        for number, (method, gain, below) in enumerate([("best_of_n", 0.1, 2), ("dvts", 0.3, 0.5), ("mcts", 0.4, 0.1)])
        for selector in ("majority", "prm_min_vote")
        for budget in (4, 16)
    ]
    return observations(pass_at_1, options, options)
