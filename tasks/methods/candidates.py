"""The candidate rules that all searches share (Liu et al. 2025): which drawn steps count, and when a path ends.

Not candidates are steps cut by length, blank steps, steps equal to an earlier sibling after stripping, and steps that
make the path longer than the PRM reads. Where none is left the draw is repeated, at most RETRIES times; then
the path is at a dead end. A path is finished at the end of the sequence, at a step that holds a final answer, and at
the depth limit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from overthink.tasks.methods.requests import Generate, Score, Search, expect_samples, expect_scores
from overthink.tasks.methods.tree import Node, step_texts
from overthink.tasks.records import Sample, Sampling, StopReason, Unscored

RETRIES = 3
RETRY_STRIDE = 1_000_000  # a repeated draw's number is this much higher than its first try's


@dataclass(frozen=True)
class Growth:
    """How trees grow: how one step is drawn, how deep paths may go, when one ends, how far a score looks ahead.

    `sampling.stop` holds the step delimiter. `is_final` says whether a step holds the final answer. With `lookahead`
    k, a step is ranked by the PRM's score of the k-th step after it, written greedily (Snell et al. 2024).
    """

    sampling: Sampling
    max_depth: int
    is_final: Callable[[str], bool]
    lookahead: int = 0


def expand(growth: Growth, parent: Node | None, draws: Sequence[int], tree: list[Node]) -> Search[list[Node]]:
    """The candidates among one step for each of `draws` after `parent` (None: after the question), scored.

    Every step drawn is added to `tree`. Returns an empty list at a dead end.
    """
    path = () if parent is None else parent.path
    for attempt in range(1 + RETRIES):
        numbers = [draw + attempt * RETRY_STRIDE for draw in draws]
        samples = expect_samples((yield [Generate(path, number, growth.sampling) for number in numbers]))
        nodes = [_node(growth, parent, number, sample) for number, sample in zip(numbers, samples, strict=True)]
        tree += nodes
        _drop(nodes)
        read = [node for node in nodes if node.dropped is None]
        if read:
            yield [_judge(growth, node) for node in read]
        found = [node for node in read if node.dropped is None]
        if found:
            return found
    return []


def best(nodes: Sequence[Node], count: int) -> list[Node]:
    """The `count` nodes of highest value, best first; ties go to the first encountered."""
    return sorted(nodes, key=value_of, reverse=True)[:count]


def value_of(node: Node) -> float:
    """The number a candidate is ranked by."""
    assert node.value is not None, "only candidates have a value"
    return node.value


def keep(nodes: Sequence[Node]) -> None:
    """Mark the nodes that a search continues from or returns."""
    for node in nodes:
        node.kept = True


def _node(growth: Growth, parent: Node | None, draw: int, sample: Sample) -> Node:
    depth = 1 if parent is None else len(parent.address) + 1
    stop: StopReason | None = None
    if sample.stop_reason == "stop" or growth.is_final(sample.text):
        stop = "stop"
    elif depth >= growth.max_depth:
        stop = "depth"
    return Node(parent, draw, sample, stop)


def _drop(nodes: Sequence[Node]) -> None:
    seen: set[str] = set()
    for node in nodes:
        text = node.sample.text.strip()
        # An end of sequence right after a step ends the path there; right after the question there is no solution.
        ends_only = node.stop == "stop" and node.parent is not None
        if node.sample.stop_reason == "length":
            node.dropped = "length"
        elif not text and not ends_only:
            node.dropped = "blank"
        elif text in seen:
            node.dropped = "duplicate"
        else:
            seen.add(text)


def _judge(growth: Growth, node: Node) -> Search[None]:
    if not node.sample.text.strip():
        assert node.parent is not None
        node.value = node.parent.value
        return
    ahead: list[Sample] = []
    greedy = replace(growth.sampling, temperature=0.0, top_p=1.0)
    for _ in range(0 if node.stop else growth.lookahead):
        (sample,) = expect_samples((yield [Generate((*node.path, *ahead), node.draw, greedy)]))
        ahead.append(sample)
        if sample.stop_reason != "delimiter" or growth.is_final(sample.text):
            break
    steps = node.steps
    asked = Score((*steps, *step_texts(ahead)), len(steps) - 1, node.draw)
    (reply,) = expect_scores((yield [asked]))
    node.lookahead_tokens = sum(len(sample.tokens) for sample in ahead)
    if isinstance(reply, Unscored):
        node.dropped = "overlong"
    else:
        node.score, node.value = reply.values[0], reply.values[-1]
