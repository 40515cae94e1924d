"""Diverse verifier tree search: independent subtrees, each a beam search that keeps one path (Beeching et al. 2024)."""

from collections.abc import Sequence

from overthink.tasks.methods.candidates import best, expand, keep
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of


def dvts(growth: Growth, n: int, beam_width: int, siblings: bool = False) -> Method:
    """N/M subtrees, each of which draws M steps per round and continues from the best.

    Returns one rollout per subtree; with `siblings`, as search-and-learn does, also every finished one of its last M.
    """
    tree: list[Node] = []
    slots = [range(first, first + beam_width) for first in range(0, n, beam_width)]
    subtrees = yield [_subtree(growth, draws, siblings, tree) for draws in slots]
    endings = [ending for subtree in subtrees for ending in subtree]
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def _subtree(growth: Growth, draws: Sequence[int], siblings: bool, tree: list[Node]) -> Search[list[Ending]]:
    node: Node | None = None
    while True:
        (found,) = yield [expand(growth, node, draws, tree)]
        if not found:
            return [Ending(node, "dead_end")]
        (node,) = best(found, 1)
        if node.stop:
            returned = [sibling for sibling in found if sibling.stop] if siblings else [node]
            keep(returned)
            return [Ending(last, last.stop) for last in returned if last.stop]
        keep([node])
