"""Beam search over steps as in Liu et al. 2025, and the variant of search-and-learn (Beeching et al. 2024)."""

from collections.abc import Sequence
from itertools import pairwise

from overthink.tasks.methods.candidates import best, expand, keep, value_of
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of


def beam_search(growth: Growth, n: int, beam_width: int) -> Method:
    """N first steps; then in each round the N/M best continue with M steps each. Returns N/M rollouts.

    A finished path keeps its slot for good, so the live width shrinks; so does one at a dead end.
    """
    tree: list[Node] = []
    endings: list[Ending] = []
    width = n // beam_width
    (found,) = yield [expand(growth, None, range(n), tree)]
    if not found:
        endings.append(Ending(None, "dead_end"))
    while found:
        chosen = best(found, width - len(endings))
        keep(chosen)
        endings += [Ending(node, node.stop) for node in chosen if node.stop]
        live = [node for node in chosen if not node.stop]
        slots = [range(slot * beam_width, (slot + 1) * beam_width) for slot in range(len(live))]
        groups = yield [expand(growth, node, slot, tree) for node, slot in zip(live, slots, strict=True)]
        endings += dead_ends(live, groups)
        found = [node for group in groups for node in group]
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def beam_search_hf(growth: Growth, n: int, beam_width: int) -> Method:
    """The variant of search-and-learn: N live beams per round; finished ones leave, the N/M best are repeated up to N.

    Ends when N paths are finished or none is live. Returns the N best finished paths, then paths at dead ends, at most
    N in all.
    """
    tree: list[Node] = []
    finished: list[Node] = []
    dead: list[Ending] = []
    (found,) = yield [expand(growth, None, range(n), tree)]
    if not found:
        dead.append(Ending(None, "dead_end"))
    while True:
        finished += [node for node in found if node.stop]
        live = best([node for node in found if not node.stop], n // beam_width)
        if not live or len(finished) >= n:
            break
        keep(live)
        groups = yield [
            expand(growth, node, slots, tree) for node, slots in zip(live, shared_out(n, len(live)), strict=True)
        ]
        dead += dead_ends(live, groups)
        found = [node for group in groups for node in group]
    returned = best(finished, n)
    keep(returned)
    endings = [*(Ending(node, node.stop) for node in returned if node.stop), *sorted_dead(dead)][:n]
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def dead_ends(parents: Sequence[Node], groups: Sequence[Sequence[Node]]) -> list[Ending]:
    """The parents that have no candidate."""
    return [Ending(parent, "dead_end") for parent, group in zip(parents, groups, strict=True) if not group]


def sorted_dead(dead: Sequence[Ending]) -> list[Ending]:
    """Dead ends by the value of their last node, best first."""
    return sorted(dead, key=lambda ending: value_of(ending.node) if ending.node else -1.0, reverse=True)


def shared_out(n: int, count: int) -> list[range]:
    """The numbers below n in `count` runs as equal as can be, the longer ones first."""
    bounds = [n // count * index + min(index, n % count) for index in range(count + 1)]
    return [range(first, last) for first, last in pairwise(bounds)]
