"""The candidate rules that all searches share (Liu et al. 2025): which drawn steps count, and when a path ends.

Not candidates are steps cut by length, blank steps, steps equal to an earlier sibling after stripping, steps that
make the path longer than the PRM reads, and those about which a verifier comes to no verdict. Where none is left the
draw is repeated, at most RETRIES times; then the path is at a dead end. A path is finished at the end of the sequence,
at a step that holds a final answer, and at the depth limit.

Steps are scored in blocks of `Growth.granularity`: a candidate grows to the end of its block before it is scored. A
block is no candidate where one of its steps is none.
"""

from collections.abc import Sequence

from overthink.tasks.methods.confident_steps import confidence_value
from overthink.tasks.methods.drawn_steps import DrawnStep, draw_steps
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Generate, Score, Search, expect_samples, expect_scores
from overthink.tasks.methods.thinking import tokens_in
from overthink.tasks.methods.tree import Node, step_texts
from overthink.tasks.records import Sample, Unscored

RETRIES = 3
RETRY_STRIDE = 1_000_000  # a repeated draw's number is this much higher than its first try's


def expand(growth: Growth, parent: Node | None, draws: Sequence[int], tree: list[Node]) -> Search[list[Node]]:
    """The candidates among one block for each of `draws` after `parent` (None: after the question), scored.

    Every step drawn is added to `tree`. Returns the last step of each block, and an empty list at a dead end.
    """
    for attempt in range(1 + RETRIES):
        read = yield from _read_steps(growth, parent, [draw + attempt * RETRY_STRIDE for draw in draws], tree)
        ends = (yield [_scored_block(growth, node, tree) for node in read]) if read else []
        found = [node for node in ends if node is not None and node.dropped is None]
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
    """Mark the nodes that a search continues from or returns, and the steps of their blocks."""
    for last in nodes:
        node: Node | None = last
        while node is not None and not node.kept:
            node.kept = True
            node = node.parent


def _read_steps(growth: Growth, parent: Node | None, numbers: Sequence[int], tree: list[Node]) -> Search[list[Node]]:
    """Of one step for each number those that no rule drops."""
    drawn = yield from draw_steps(growth, parent, numbers)
    nodes = [_node(growth, parent, number, step) for number, step in zip(numbers, drawn, strict=True)]
    tree += nodes
    _drop(nodes)
    return [node for node in nodes if node.dropped is None]


def _scored_block(growth: Growth, first: Node, tree: list[Node]) -> Search[Node | None]:
    """The last step of the block that begins with `first`; None where a step of it is no candidate."""
    block = [first]
    while len(block) < growth.granularity and not block[-1].stop:
        further = yield from _read_steps(growth, block[-1], [first.draw], tree)
        if not further:
            return None
        block += further
    yield from _judge(growth, block)
    return block[-1]


def _node(growth: Growth, parent: Node | None, draw: int, step: DrawnStep) -> Node:
    sample = step.sample
    node = Node(parent, draw, sample, None, before=step.before, thinks=step.thinks)
    if step.stop is not None:
        node.dropped = "reasoning"
    elif sample.stop_reason == "stop" or (not sample.is_reasoning and growth.is_final(sample.text)):
        node.stop = "stop"
    elif len(node.address) >= growth.max_depth:
        node.stop = "depth"
    elif growth.path_tokens is not None and tokens_in(node.path) >= growth.path_tokens:
        node.stop = "length"
    return node


def _drop(nodes: Sequence[Node]) -> None:
    seen: set[str] = set()
    for node in nodes:
        text = node.sample.text.strip()
        # An end right after a step ends the path or its reasoning there; right after the question there is no solution.
        ends_only = node.parent is not None and (node.stop == "stop" or _ends_reasoning(node))
        if node.dropped is not None:
            continue
        if node.sample.stop_reason in ("length", "repetition"):
            node.dropped = node.sample.stop_reason
        elif not text and not ends_only:
            node.dropped = "blank"
        elif text in seen:
            node.dropped = "duplicate"
        else:
            seen.add(text)


def _ends_reasoning(node: Node) -> bool:
    return node.sample.is_reasoning and not node.thinks


def _judge(growth: Growth, block: Sequence[Node]) -> Search[None]:
    node, before = block[-1], block[0].parent
    written = [each for each in block if each.sample.text.strip()]
    if not written:
        assert before is not None
        node.value = before.value
        return
    if growth.value == "confidence":
        node.value = confidence_value([each.sample for each in written])
        return
    ahead: list[Sample] = []
    for _ in range(0 if node.stop else growth.lookahead):
        (sample,) = expect_samples((yield [Generate((*node.path, *ahead), node.draw, growth.sampling.greedy)]))
        ahead.append(sample)
        if sample.stop_reason != "delimiter" or growth.is_final(sample.text):
            break
    steps = node.steps
    asked = Score((*steps, *step_texts(ahead)), len(steps) - len(written), node.draw)
    (reply,) = expect_scores((yield [asked]))
    node.lookahead_tokens = sum(len(sample.tokens) for sample in ahead)
    for place, each in enumerate(written, asked.from_step):
        each.critiques = tuple(critique for critique in reply.critiques if critique.step_index == place)
    if isinstance(reply, Unscored):
        node.dropped = "unjudged" if reply.critiques else "overlong"
        return
    node.value = reply.values[-1]
    for each, score in zip(written, reply.values, strict=False):  # those behind are of the steps ahead
        each.score = score
