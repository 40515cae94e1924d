"""What methods share that go on from whole answers: messages behind them, the replies to these, verdicts in them.

A reply without text is a dead end: nothing goes on from it, and what was there before stands.
"""

from collections.abc import Sequence

from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.methods.tree import Node, NodeRole
from overthink.tasks.methods.verdict_forms import VerdictForm
from overthink.tasks.records import Part, Rollout, Sample, Sampling, UserTurn, finished_by

VERDICT = VerdictForm(
    lead=r"\bverdict\b\W*(?:is\W+)?",
    example="Verdict: {}",
    words=("right", "wrong"),
    synonyms=("correct", "incorrect"),
)


def reply(
    sampling: Sampling, path: tuple[Part, ...], index: int, parent: Node | None, role: NodeRole, tree: list[Node]
) -> Search[Node]:
    """What the policy writes behind `path`, added to `tree`; dropped where it is blank."""
    (sample,) = expect_samples((yield [Generate(path, index, sampling)]))
    stop = finished_by(sample) if role == "answer" else None
    node = Node(parent, index, sample, stop, dropped=None if sample.text.strip() else "blank", role=role)
    tree.append(node)
    return node


def put(text: str, answer: Sample) -> tuple[Part, Part]:
    """An answer and the message behind it."""
    has_ended = answer.stop_reason == "stop" and answer.ended_by is None and bool(answer.tokens)
    return answer, UserTurn(text, behind=answer.tokens[-1] if has_ended else None)


def returned(nodes: Sequence[Node], indices: Sequence[int]) -> tuple[Rollout, ...]:
    """Answers as rollouts of these numbers; each has the tokens of its own text alone."""
    for node in nodes:
        node.kept = True
    numbered = zip(indices, nodes, strict=True)
    return tuple(Rollout(index, (node.sample,), finished_by(node.sample)) for index, node in numbered)


def says_right(critique: str, is_whole: bool) -> bool | None:
    """The last verdict that a critique gives; None where it gives none. One that is not `is_whole` was cut off."""
    said = VERDICT.read(critique, is_whole)
    return None if said is None else said.is_right
