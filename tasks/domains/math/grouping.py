"""Which answers of one problem are the same, as a partition that does not depend on their order."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from itertools import product

from overthink.tasks.domains.math.equality import COMPATIBLE, STRICT, Rules, same
from overthink.tasks.domains.math.values import Answer

Joined = Callable[[int, int], bool]
Bounded = Callable[[], AbstractContextManager[None]]


def partition(answers: Sequence[Answer], bounded: Bounded) -> list[int]:
    """The group of each answer, numbered by first occurrence; each comparison is made within `bounded()`.

    Answers that are strictly the same are one class. Classes that differ only in what one leaves out (18 and 18 cm) are
    joined where all that are connected so are pairwise compatible: beside 18 cm and 18 s, 18 stays alone.
    """

    def known(one: Answer, other: Answer, rules: Rules) -> bool:
        try:
            with bounded():
                return same(one, other, rules)
        except Exception:  # out of time, or undecided: this must not affect the other groups
            return False

    classes = _components(len(answers), lambda at, other: known(answers[at], answers[other], STRICT))
    members: dict[int, list[Answer]] = {}
    for label, answer in zip(classes, answers, strict=True):
        members.setdefault(label, []).append(answer)
    labels = list(members)

    def compatible(one: int, other: int) -> bool:
        return any(known(*pair, COMPATIBLE) for pair in product(members[labels[one]], members[labels[other]]))

    joined = dict(zip(labels, _cliques(len(labels), compatible), strict=True))
    return numbered([joined[label] for label in classes])


def _components(count: int, joined: Joined) -> list[int]:
    """A label for each of `count` nodes, equal where a chain of edges joins them."""
    labels = list(range(count))
    for one in range(count):
        for other in range(one + 1, count):
            if labels[one] != labels[other] and joined(one, other):
                before, after = labels[other], labels[one]
                labels = [after if label == before else label for label in labels]
    return labels


def _cliques(count: int, joined: Joined) -> list[int]:
    """Components of a graph in which all nodes are joined pairwise; the nodes of any other stay apart."""
    edges = {(one, other) for one in range(count) for other in range(one + 1, count) if joined(one, other)}
    labels = _components(count, lambda one, other: (one, other) in edges)
    sizes = {label: labels.count(label) for label in labels}
    inner = {label: sum(labels[one] == label for one, _ in edges) for label in labels}
    whole = {label for label, size in sizes.items() if inner[label] == size * (size - 1) // 2}
    return [label if label in whole else count + node for node, label in enumerate(labels)]


def numbered(labels: Sequence[Hashable]) -> list[int]:
    """Labels as numbers by first occurrence."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]
