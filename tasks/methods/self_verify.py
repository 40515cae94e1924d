"""Self-verification (after Weng et al. 2023, arXiv 2212.09561): answers that hold when they are solved from again."""

from collections.abc import Callable

from overthink.tasks.methods.requests import Method, Outcome, Search
from overthink.tasks.methods.revising import put, reply, returned
from overthink.tasks.methods.tree import Node, in_order
from overthink.tasks.records import Sampling

ANSWER = "{answer}"  # what stands for it in the text of a check


def self_verify(sampling: Sampling, n: int, check: str, answer_of: Callable[[str], str | None]) -> Method:
    """N answers, each checked by solving the problem again from it; returns those that hold, or all where none does.

    `check` asks for that; `{answer}` in it stands for the answer, which holds where the same comes out of the check.
    """
    tree: list[Node] = []
    checked = yield [_checked(sampling, index, check, answer_of, tree) for index in range(n)]
    found = [index for index, (_, holds) in enumerate(checked) if holds] or range(n)
    return Outcome(returned([checked[index][0] for index in found], found), in_order(tree))


def _checked(
    sampling: Sampling, index: int, check: str, answer_of: Callable[[str], str | None], tree: list[Node]
) -> Search[tuple[Node, bool]]:
    """A solution, and whether its answer holds; one without an answer does not, and is not checked."""
    node = yield from reply(sampling, (), index, None, "answer", tree)
    answer = answer_of(node.sample.text)
    if answer is None:
        return node, False
    path = put(check.replace(ANSWER, answer), node.sample)
    checked = yield from reply(sampling, path, index, node, "check", tree)
    return node, answer_of(checked.sample.text) == answer
