"""The tree of a search: every step that the policy wrote in it, kept or not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.critiques import Critique
from overthink.tasks.records import Part, Rollout, Sample, StopReason

NodeRole = Literal["answer", "critique", "check"]
Dropped = Literal["length", "repetition", "blank", "duplicate", "overlong", "unjudged", "reasoning"]


@dataclass(eq=False)
class Node:
    """One step, or of methods that revise one whole text, whose `role` says what it is.

    `draw` distinguishes it from its siblings. `dropped` names the candidate rule that excludes it. `score` is the PRM's
    number in [0, 1] for this step, None where it was not asked; `value` is the one the search ranks it by: the same,
    that of the last step of a lookahead of `lookahead_tokens` tokens, or one by the policy's confidence. Both are None
    for a dropped step, and `value` for one that is not the last of its block. `stop` says why a path ends here, None
    where it may continue. `kept` is set when the search continues from it or returns it. `critiques` are
    those of this step, where a verifier wrote any.
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
    before: tuple[Part, ...] = ()
    critiques: tuple[Critique, ...] = ()
    thinks: bool = False
    role: NodeRole | None = None

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
    def path(self) -> tuple[Part, ...]:
        """The parts from the question to here."""
        return tuple(part for node in self.lineage for part in (*node.before, node.sample))

    @property
    def completion_tokens(self) -> int | None:
        """The tokens written for this step, and for the reasoning ahead of it; None where unknown."""
        counts = [part.completion_tokens for part in (*self.before, self.sample) if isinstance(part, Sample)]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def steps(self) -> tuple[str, ...]:
        """The texts of the steps to here; a blank one is no step."""
        return step_texts(node.sample for node in self.lineage)

    @property
    def address(self) -> tuple[int, ...]:
        """The node's unique address in its tree: the draws of its lineage."""
        return tuple(node.draw for node in self.lineage)


@dataclass(frozen=True)
class Ending:
    """An ended path: its last node (None where no first step was found), and the reason."""

    node: Node | None
    stop: StopReason


def step_texts(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The samples' texts as steps: stripped, blank ones left out."""
    return tuple(text for text in (sample.text.strip() for sample in samples) if text)


def rollouts_of(endings: Iterable[Ending]) -> Iterator[Rollout]:
    """The endings as rollouts, numbered in order, with the scores of their steps from the search."""
    for index, ending in enumerate(endings):
        lineage = ending.node.lineage if ending.node is not None else ()
        scores = tuple(node.score for node in lineage if node.score is not None)
        path = ending.node.path if ending.node is not None else ()
        critiques = tuple(critique for node in lineage for critique in node.critiques)
        yield Rollout(index, path, ending.stop, scores, critiques)


def in_order(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes by depth and place, independent of the order of replies."""
    return tuple(sorted(nodes, key=lambda node: (len(node.address), node.address)))
