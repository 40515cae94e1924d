"""Reward-balanced search: the scores divide each round's budget among all live paths (Wu et al. 2024, REBASE)."""

import math
from collections.abc import Sequence

from overthink.tasks.methods.beam_search import dead_ends
from overthink.tasks.methods.candidates import expand, keep, value_of
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of


def rebase(growth: Growth, n: int, balance: float) -> Method:
    """N first steps; then each round's budget, N minus the ended paths, is divided by softmax(value / balance).

    A path with a share of 0 is pruned. Returns at most N rollouts.
    """
    tree: list[Node] = []
    endings: list[Ending] = []
    (found,) = yield [expand(growth, None, range(n), tree)]
    if not found:
        endings.append(Ending(None, "dead_end"))
    while found:
        finished = [node for node in found if node.stop]
        keep(finished)
        endings += [Ending(node, node.stop) for node in finished if node.stop]
        live = [node for node in found if not node.stop]
        shares = apportion(n - len(endings), [value_of(node) / balance for node in live])
        chosen = [(node, draws) for node, draws in zip(live, _runs(shares), strict=True) if draws]
        keep([node for node, _ in chosen])
        groups = yield [expand(growth, node, draws, tree) for node, draws in chosen]
        endings += dead_ends([node for node, _ in chosen], groups)
        found = [node for group in groups for node in group]
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def apportion(budget: int, logits: Sequence[float]) -> list[int]:
    """Whole shares of `budget` in proportion to softmax(logits), by largest remainder; ties go to the first."""
    if budget <= 0 or not logits:
        return [0] * len(logits)
    top = max(logits)
    masses = [math.exp(logit - top) for logit in logits]
    ideal = [budget * mass / math.fsum(masses) for mass in masses]
    shares = [math.floor(share) for share in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda index: shares[index] - ideal[index])
    for index in by_remainder[: budget - sum(shares)]:
        shares[index] += 1
    return shares


def _runs(shares: Sequence[int]) -> list[range]:
    """Consecutive numbers, as many for each as its share."""
    runs, first = [], 0
    for share in shares:
        runs.append(range(first, first + share))
        first += share
    return runs
