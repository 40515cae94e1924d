"""Sequential revisions (Snell et al. 2024, arXiv 2408.03314): chains of answers, each written behind those before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.revising import put, reply, returned
from overthink.tasks.methods.tree import Node, in_order
from overthink.tasks.records import Part, Sampling

Returned = Literal["last", "vote", "all"]


@dataclass(frozen=True)
class RevisionChain:
    """How a chain is written: at most `length` answers, each behind the message `revise` and up to `seen` answers."""

    length: int
    seen: int
    revise: str


def sequential_revisions(
    sampling: Sampling, chains: int, chain: RevisionChain, what: Returned, answer_of: Callable[[str], str | None]
) -> Method:
    """Chains of answers side by side; returns the last answer of each, the one it gives most often, or all answers."""
    tree: list[Node] = []
    written = yield [_chain(sampling, index, chain, tree) for index in range(chains)]
    if what == "all":
        numbered = [
            (number * chain.length + place, node)
            for number, answers in enumerate(written)
            for place, node in enumerate(answers)
        ]
        return Outcome(returned([node for _, node in numbered], [index for index, _ in numbered]), in_order(tree))
    chosen = [answers[-1] if what == "last" else most_given(answers, answer_of) for answers in written]
    return Outcome(returned(chosen, range(chains)), in_order(tree))


def most_given(answers: Sequence[Node], answer_of: Callable[[str], str | None]) -> Node:
    """The last solution with the answer that most of a chain give; of equal votes the answer given last.

    The last of all where none gives an answer.
    """
    given = [answer_of(node.sample.text) for node in answers]
    votes = [(given.count(answer), place) for place, answer in enumerate(given) if answer is not None]
    return answers[max(votes)[1]] if votes else answers[-1]


def _chain(sampling: Sampling, index: int, chain: RevisionChain, tree: list[Node]) -> Search[list[Node]]:
    """The answers of a chain, which ends before a blank one; a blank first one is its only one."""
    answers = [(yield from reply(sampling, (), index, None, "answer", tree))]
    while len(answers) < chain.length and not answers[-1].dropped:
        path: tuple[Part, ...] = ()
        for node in answers[-chain.seen :]:
            path += put(chain.revise, node.sample)
        further = yield from reply(sampling, path, index, answers[-1], "answer", tree)
        if further.dropped:
            break
        answers.append(further)
    return answers
