"""Known difficulties, measured on rollouts that score no option.

A problem with lucky rollouts looks easy, and best-of-N over the same rollouts looks good on it. Difficulty measured on
the rollouts that are scored therefore gains accuracy even where all problems are alike. So the rollouts are split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from overthink.tasks.analysis.estimators import estimates_after
from overthink.tasks.analysis.selectors import Candidates, Floats, SelectorName
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Option


def known_difficulty(
    budget: int, pools: Sequence[Candidates], pilot: int, options: Sequence[Option], fixed: Sequence[Option], seed: int
) -> KnownDifficulty | None:
    """The accuracy of a budget's options on each problem, and its pass@1 from other rollouts of best-of-N.

    `pools` are the rollouts of best-of-N for each problem. The first half of them is scored, or as many as the budget
    takes, and the others measure the difficulty; None where a problem has no others, or their verdicts are unknown.
    """
    parts = [max(budget, pool.count // 2) for pool in pools]
    if any(part >= pool.count for part, pool in zip(parts, pools, strict=True)):
        return None
    at_budget = [[option for option in listed if option.budget == budget] for listed in (options, fixed)]
    selectors = list(dict.fromkeys(option.selector for option in (*at_budget[0], *at_budget[1])))
    told = np.array([_pass_at_1(pool, part) for part, pool in zip(parts, pools, strict=True)])
    expected = [
        estimates_after(selectors, pool.first(part), pilot, budget, seed)
        for part, pool in zip(parts, pools, strict=True)
    ]
    accuracy = {
        selector: np.array([found[selector].accuracy for found in expected], dtype=np.float64) for selector in selectors
    }
    if np.isnan([told, *accuracy.values()]).any():
        return None
    return KnownDifficulty(told, *([_rescored(option, accuracy) for option in listed] for listed in at_budget))


def _pass_at_1(pool: Candidates, first: int) -> float:
    """pass@1 over the rollouts from `first` on; NaN where none of them has a verdict."""
    verdicts = pool.correct[first:][~pool.unknown[first:]]
    return float(verdicts.mean()) if len(verdicts) else float("nan")


def _rescored(option: Option, accuracy: Mapping[SelectorName, Floats]) -> Option:
    """An option with its accuracy on the scored part; a search has its own rollouts and is unchanged."""
    return replace(option, accuracy=accuracy[option.selector]) if option.method == "best_of_n" else option
