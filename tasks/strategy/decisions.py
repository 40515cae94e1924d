"""A strategy's decision for each problem from its pilot: at one budget, or under a total for all problems."""

import numpy as np

from overthink.tasks.analysis.selectors import Floats, Integers
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import ComputeOptimal
from overthink.tasks.recipes.strategy_file import FixedChoice, Prospects, Strategy
from overthink.tasks.stages.decide import Decision
from overthink.tasks.strategy.allocation import allocate


def decide(strategy: Strategy, method: ComputeOptimal, features: Floats, tokens: Floats) -> list[Decision]:
    """One decision per problem, from features (problems, FEATURES) and completion tokens (problems,) of the pilots.

    Raises UserError where the total is less than the cost of the smallest budget.
    """
    prospects = strategy.prospects(features, tokens)
    options = _options(method, prospects)
    decisions = []
    for place, (predicted, option) in enumerate(zip(strategy.predicted(features).tolist(), options, strict=True)):
        choice = strategy.choice(int(prospects.budgets[option]), predicted)
        flops = float(prospects.flops[place, option])
        decisions.append(
            Decision(
                predicted=predicted,
                difficulty=choice.difficulty,
                budget=choice.budget,
                chosen=choice.method.method_id,
                selector=choice.selector,
                expected_accuracy=float(prospects.accuracy[place, option]),
                expected_tokens=float(prospects.tokens[place, option]),
                expected_flops=flops if np.isfinite(flops) else None,
            )
        )
    return decisions


def decide_alike(choice: FixedChoice) -> Decision:
    """The decision for every problem where no problem has a pilot, and so no prediction."""
    return Decision(
        predicted=None,
        difficulty=None,
        budget=choice.budget,
        chosen=choice.method.method_id,
        selector=choice.selector,
        expected_accuracy=choice.accuracy,
        expected_tokens=choice.policy_tokens,
        expected_flops=choice.flops,
    )


def _options(method: ComputeOptimal, prospects: Prospects) -> Integers:
    """(problems,) the index of the budget that each problem gets."""
    if method.n is not None:
        return np.full(len(prospects.tokens), np.flatnonzero(prospects.budgets == method.n)[0])
    if method.total_tokens is not None:
        name, total, costs = "total_tokens", float(method.total_tokens), prospects.tokens
    else:
        assert method.total_flops is not None, "one of the three is given"
        name, total, costs = "total_flops", method.total_flops, prospects.flops
    least = costs.min(axis=1).sum()
    if least > total:
        raise UserError(
            f"{name} = {total:g} is less than the {least:g} that the smallest budget of {prospects.budgets[0]} takes "
            f"for all {len(costs)} problems: give more, or fewer problems"
        )
    return allocate(prospects.accuracy, costs, total)
