"""Monte Carlo tree search over steps, with the PRM's score of a step as its value: no playouts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from overthink.tasks.methods.candidates import best, expand, keep, value_of
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.tree import Ending, Node, in_order, rollouts_of

Rule = Literal["uct", "puct"]


@dataclass(eq=False)
class Place:
    """A node's statistics: the number of values seen at or below it, and their sum.

    `prior` in [0, 1] is its share of its siblings' values. A closed place is never visited again: its path has ended,
    or everything below it is closed.
    """

    node: Node | None
    prior: float = 1.0
    visits: int = 0
    total: float = 0.0
    children: "list[Place]" = field(default_factory=list)
    closed: bool = False

    @property
    def mean(self) -> float:
        """The mean of the values seen, in [0, 1]."""
        return self.total / self.visits


def mcts(growth: Growth, n: int, beam_width: int, exploration: float, rule: Rule) -> Method:
    """Grow one tree, with M steps at the most promising leaf each time, until N/M of its paths have ended.

    A finished path counts when the search reaches it. Stops after N/M * max_depth expansions at the latest; where
    nothing has ended by then, returns the path of the best leaf, with stop reason `depth` unless it is finished.
    """
    tree: list[Node] = []
    endings: list[Ending] = []
    root = Place(None)
    for _ in range(n // beam_width * growth.max_depth):
        endings += _collect(root, exploration, rule, n // beam_width - len(endings))
        if root.closed or len(endings) == n // beam_width:
            break
        lineage = descend(root, exploration, rule)
        leaf = lineage[-1]
        (found,) = yield [expand(growth, leaf.node, range(beam_width), tree)]
        if leaf.node is not None:
            keep([leaf.node])
        if not found:
            endings.append(Ending(leaf.node, "dead_end"))
        _open(lineage, found)
    endings += _collect(root, exploration, rule, n // beam_width - len(endings))
    if not endings:
        leaves = best([node for node in tree if node.value is not None and not node.kept], 1)
        keep(leaves)
        endings = [Ending(node, node.stop or "depth") for node in leaves]
    return Outcome(tuple(rollouts_of(endings)), in_order(tree))


def descend(root: Place, exploration: float, rule: Rule) -> list[Place]:
    """The open places from the root to a leaf, each the most promising of its siblings; ties go to the first."""
    lineage = [root]
    while lineage[-1].children:
        parent = lineage[-1]
        rivals = [child for child in parent.children if not child.closed]
        lineage.append(max(rivals, key=lambda child: promise(parent, child, exploration, rule)))
    return lineage


def promise(parent: Place, child: Place, exploration: float, rule: Rule) -> float:
    """UCT: mean + c * sqrt(ln N / n). PUCT: mean + c * prior * sqrt(N) / (1 + n)."""
    if rule == "uct":
        return child.mean + exploration * math.sqrt(math.log(parent.visits) / child.visits)
    return child.mean + exploration * child.prior * math.sqrt(parent.visits) / (1 + child.visits)


def _collect(root: Place, exploration: float, rule: Rule, wanted: int) -> list[Ending]:
    """Close the finished paths that the search reaches before any leaf that can grow, `wanted` at most."""
    endings: list[Ending] = []
    while len(endings) < wanted and not root.closed:
        lineage = descend(root, exploration, rule)
        node = lineage[-1].node
        if node is None or not node.stop:
            break
        keep(node.lineage)
        endings.append(Ending(node, node.stop))
        _close(lineage)
    return endings


def _open(lineage: Sequence[Place], found: Sequence[Node]) -> None:
    """Add the candidates below a leaf and propagate their values to the root; a leaf without any is closed."""
    if not found:
        _close(lineage)
        return
    values = [value_of(node) for node in found]
    whole = math.fsum(values)
    lineage[-1].children = [
        Place(node, value / whole if whole else 1 / len(found), 1, value)
        for node, value in zip(found, values, strict=True)
    ]
    for place in lineage:
        place.visits += len(found)
        place.total += whole


def _close(lineage: Sequence[Place]) -> None:
    lineage[-1].closed = True
    for place in reversed(lineage[:-1]):
        place.closed = all(child.closed for child in place.children)
