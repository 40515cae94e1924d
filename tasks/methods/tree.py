"""The tree a search grows: every step the policy ever wrote in it, kept or not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.records import Rollout, Sample, StopReason

Dropped = Literal["length", "blank", "duplicate", "overlong"]


@dataclass(eq=False)
class Node:
    """One step.

    `draw` tells it from its siblings. `dropped` says by which candidate rule it is no candidate. `score` is the PRM's
    number in [0, 1] for this step, `value` the one the search ranks it by: the same, or that of the last step of a
    lookahead of `lookahead_tokens` tokens; both None for a dropped step. `stop` says why a path ends here, None where
    it may go on. `kept` is set by the search that goes on from it or returns it.
    """

    parent: "Node | None"
    draw: int
    sample: Sample
    stop: StopReason | None
    dropped: Dropped | None = None
    score: float | None = None
    value: float | None = None
    lookahead_tokens: int = 0
    kept: bool = False

    @property
    def lineage(self) -> "tuple[Node, ...]":
        """The nodes from the first step to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return tuple(reversed(nodes))

    @property
    def path(self) -> tuple[Sample, ...]:
        """The samples from the question to here."""
        return tuple(node.sample for node in self.lineage)

    @property
    def steps(self) -> tuple[str, ...]:
        """The texts of the steps to here; a blank one is no step."""
        return step_texts(self.path)

    @property
    def address(self) -> tuple[int, ...]:
        """Where the node stands in its tree: the draws of its lineage, unlike any other node's."""
        return tuple(node.draw for node in self.lineage)


@dataclass(frozen=True)
class Ending:
    """A path that goes no further: its last node (None where not even a first step was found), and why."""

    node: Node | None
    stop: StopReason


def step_texts(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The samples' texts as steps: stripped, blank ones left out."""
    return tuple(text for text in (sample.text.strip() for sample in samples) if text)


def rollouts_of(endings: Iterable[Ending]) -> Iterator[Rollout]:
    """The endings as rollouts, numbered in order, with the scores their steps were given on the way."""
    for index, ending in enumerate(endings):
        lineage = ending.node.lineage if ending.node is not None else ()
        scores = tuple(node.score for node in lineage if node.score is not None)
        yield Rollout(index, tuple(node.sample for node in lineage), ending.stop, scores)


def in_order(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes by depth and place, whatever order the replies landed in."""
    return tuple(sorted(nodes, key=lambda node: (len(node.address), node.address)))
