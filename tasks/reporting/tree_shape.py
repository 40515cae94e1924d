"""The shape in which a search tree is shown: kept steps as nested lists, pruned ones folded behind them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]  # a row of `nodes`
Item = dict[str, Any]


def branches(nodes: Sequence[Node]) -> list[Item]:
    """The items of a tree: `{"step": node, "below": items}`, or `{"pruned": nodes}`. An only child is not indented."""
    children: dict[str | None, list[Node]] = defaultdict(list)
    for node in nodes:
        children[node["parent_id"]].append(node)
    return _below(children, None)


def _below(children: Mapping[str | None, list[Node]], parent: str | None) -> list[Item]:
    """The child steps of one: the kept ones, then the pruned ones."""
    items: list[Item] = []
    while True:
        here = children[parent]
        open_ones = [node for node in here if node["kept"] or children[node["node_id"]]]
        closed = [node for node in here if node not in open_ones]
        fold = [{"pruned": closed}] if closed else []
        if len(open_ones) != 1:
            nested = ({"step": node, "below": _below(children, node["node_id"])} for node in open_ones)
            return [*items, *nested, *fold]
        items += [{"step": open_ones[0], "below": []}, *fold]
        parent = open_ones[0]["node_id"]
