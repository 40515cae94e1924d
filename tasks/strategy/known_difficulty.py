"""Known difficulties, measured on rollouts that score no option.

A problem with lucky rollouts looks easy, and best-of-N over the same rollouts looks good on it. Difficulty measured on
the rollouts that are scored therefore gains accuracy even where all problems are alike. So the rollouts are split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from overthink.tasks.analysis.estimators import estimates_after
from overthink.tasks.analysis.selectors import Candidates, Floats, SelectorName
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Option


@dataclass(frozen=True)
class SplitRollouts:
    """One problem's best-of-N, split: pass@1 by the second part, and the accuracy of selectors on the first.

    Both in [0, 1]; pass@1 is NaN and an accuracy None where no verdict is known.
    """

    pass_at_1: float
    accuracy: Mapping[SelectorName, float | None]


def split_rollouts(
    pool: Candidates, pilot: int, budget: int, selectors: Sequence[SelectorName], seed: int
) -> SplitRollouts | None:
    """Score the first half of a problem's rollouts, or as many as the budget takes; None where no others are left."""
    part = max(budget, pool.count // 2)
    if part >= pool.count:
        return None
    found = estimates_after(selectors, pool.first(part), pilot, budget, seed)
    return SplitRollouts(_pass_at_1(pool, part), {selector: one.accuracy for selector, one in found.items()})


def known_difficulty(
    budget: int, problems: Sequence[SplitRollouts | None], options: Sequence[Option], fixed: Sequence[Option]
) -> KnownDifficulty | None:
    """The accuracy of a budget's options on each problem, and its pass@1 from other rollouts of best-of-N.

    None where a problem has no others, or their verdicts are unknown.
    """
    split = [one for one in problems if one is not None]
    if len(split) < len(problems):
        return None
    at_budget = [[option for option in listed if option.budget == budget] for listed in (options, fixed)]
    selectors = dict.fromkeys(option.selector for option in (*at_budget[0], *at_budget[1]))
    told = np.array([one.pass_at_1 for one in split])
    accuracy = {
        selector: np.array([one.accuracy[selector] for one in split], dtype=np.float64) for selector in selectors
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
