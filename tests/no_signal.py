"""A world in which difficulty tells nothing: all problems are alike, and so is the accuracy of every option."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from overthink.tasks.analysis.difficulty import FEATURES
from overthink.tasks.analysis.estimators import estimates_after
from overthink.tasks.analysis.selectors import Candidates, Floats, candidates, choose
from overthink.tasks.strategy.fit_strategy import KnownDifficulty, Observations, Option
from overthink.tasks.strategy.known_difficulty import known_difficulty, split_rollouts

PILOT = 4


def rollouts(generator: np.random.Generator, count: int) -> Candidates:
    """One problem's: each right with 0.4, wrong ones among four answers."""
    right = generator.random(count) < 0.4
    keys = ["r" if one else str(other) for one, other in zip(right, generator.integers(0, 4, count), strict=True)]
    return candidates(keys, right.tolist(), None)


@lru_cache
def accuracy_at(budget: int) -> float:
    """The accuracy of a majority of so many."""
    generator = np.random.default_rng(0)
    pools = [rollouts(generator, budget) for _ in range(20_000)]
    return float(np.mean([pool.correct[choose("majority", pool) or 0] for pool in pools]))


def world(problems: int, count: int, budgets: tuple[int, ...], seed: int) -> Observations:
    """Best-of-N by majority and two searches that are right as often, by rollouts of their own."""
    generator = np.random.default_rng(seed)
    pools = [rollouts(generator, count) for _ in range(problems)]
    options: list[Option] = []
    for budget in budgets:
        voted = np.array([estimates_after(["majority"], pool, PILOT, budget, 0)["majority"].accuracy for pool in pools])
        options.append(_option(voted, budget, "best_of_n"))
        for search in ("beam_search", "dvts"):
            options.append(_option((generator.random(problems) < accuracy_at(budget)).astype(float), budget, search))
    found = {budget: known_at(budget, pools, options) for budget in budgets}
    return Observations(
        features=generator.random((problems, len(FEATURES))),
        pilot_tokens=np.full(problems, 40.0),
        pass_at_1=np.array([pool.correct.mean() for pool in pools]),
        options=options,
        fixed=options,
        any_right={},
        known={budget: known for budget, known in found.items() if known is not None},
    )


def known_at(budget: int, pools: Sequence[Candidates], options: Sequence[Option]) -> KnownDifficulty | None:
    split = [split_rollouts(pool, PILOT, budget, ["majority"], 0) for pool in pools]
    return known_difficulty(budget, split, options, options)


def _option(accuracy: Floats, budget: int, method: str) -> Option:
    cost = np.full(len(accuracy), float(budget))
    return Option(budget, f"{method}-n{budget}", "majority", accuracy, cost, cost)
