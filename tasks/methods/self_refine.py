"""Self-refinement (Madaan et al. 2023, arXiv 2303.17651): an answer, the policy's critique, a revised answer."""

from dataclasses import dataclass

from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.revising import put, reply, returned, says_right
from overthink.tasks.methods.tree import Node, in_order
from overthink.tasks.records import Part, Sampling


@dataclass(frozen=True)
class RefineTurns:
    """The messages that ask for a critique and for a revised answer."""

    critique: str
    revise: str


def self_refine(sampling: Sampling, n: int, rounds: int, turns: RefineTurns) -> Method:
    """N chains, each of one answer and at most `rounds` critiques and revised answers; returns their last answers.

    A chain ends once a critique says that its answer is right. One without a verdict does not say so.
    """
    tree: list[Node] = []
    answers = yield [_refined(sampling, index, rounds, turns, tree) for index in range(n)]
    return Outcome(returned(answers, range(n)), in_order(tree))


def _refined(sampling: Sampling, index: int, rounds: int, turns: RefineTurns, tree: list[Node]) -> Search[Node]:
    """The last answer of a chain."""
    path: tuple[Part, ...] = ()
    answer = node = yield from reply(sampling, path, index, None, "answer", tree)
    for _ in range(rounds):
        if node.dropped:
            break
        answer, path = node, (*path, *put(turns.critique, node.sample))
        node = yield from reply(sampling, path, index, node, "critique", tree)
        if node.dropped or says_right(node.sample.text, node.sample.stop_reason != "length"):
            return answer
        path = (*path, *put(turns.revise, node.sample))
        node = yield from reply(sampling, path, index, node, "answer", tree)
    return answer if node.dropped else node
