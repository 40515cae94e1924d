"""A fitted strategy against its baselines at every budget: fixed options, the rule of Liu et al. 2025, and pass@n."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.analysis.intervals import PairedDifference, mean_interval, paired_difference
from overthink.tasks.analysis.selectors import Floats, SelectorName
from overthink.tasks.strategy.fit_strategy import Followed, Observations, Option, Validation, follow_paper
from overthink.tasks.strategy.paper_rule import PaperRule

STRATEGY, KNOWN_BINS, PAPER, ANY_RIGHT = "strategy", "strategy, known difficulty", "rule of Liu et al.", "pass@n"


@dataclass(frozen=True)
class BaselineResult:
    """One option at one budget, over all problems; fitted options are scored on problems they were not fitted to.

    `selector` is None where it differs between problems or nothing is selected. `lead` is the strategy's accuracy minus
    this option's, paired. `tokens` and `flops` are means per problem, None where unknown.
    """

    budget: int
    name: str
    selector: SelectorName | None
    accuracy: float
    interval: tuple[float, float] | None
    lead: PairedDifference
    tokens: float | None
    flops: float | None


def compare_baselines(
    observations: Observations, validation: Validation, rule: PaperRule | None, bins: DifficultyConfig
) -> list[BaselineResult]:
    """For each budget: the strategy, the strategy with known difficulty where spare rollouts measure it, the rule of
    Liu et al. 2025 where it applies, all fixed options by falling accuracy, and pass@n."""
    found = []
    for budget, followed in validation.strategy.items():
        for option, selector, spent in _baselines(observations, validation, rule, bins, budget):
            accuracy = spent.accuracy
            lead = paired_difference(followed.accuracy, accuracy)
            interval = mean_interval(accuracy)
            costs = _known(spent.tokens), _known(spent.flops)
            found.append(BaselineResult(budget, option, selector, float(accuracy.mean()), interval, lead, *costs))
    return found


def _baselines(
    observations: Observations, validation: Validation, rule: PaperRule | None, bins: DifficultyConfig, budget: int
) -> Iterator[tuple[str, SelectorName | None, Followed | Option]]:
    yield STRATEGY, None, validation.strategy[budget]
    if budget in validation.known_bins:
        yield KNOWN_BINS, None, validation.known_bins[budget]
    paper = None if rule is None else follow_paper(observations, validation, rule, bins, budget)
    if paper is not None:
        yield PAPER, None, paper
    fixed = [option for option in observations.fixed if option.budget == budget]
    for option in sorted(fixed, key=lambda option: -option.accuracy.mean()):
        yield option.method_id, option.selector, option
    yield ANY_RIGHT, None, observations.any_right[budget]


def _known(costs: Floats) -> float | None:
    mean = float(costs.mean())
    return None if math.isnan(mean) else mean
