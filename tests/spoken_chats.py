"""Chats written by hand, for the tests of methods that go on from whole answers.

A script is a dict from what was said so far, parts joined by blanks ("" at the question), to the policy's replies
there: number i gets the i-th, round and round. "~" ends one that the limit of tokens cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from overthink.tasks.methods.requests import Generate, Method, Outcome, Search
from overthink.tasks.methods.tree import Node
from overthink.tasks.records import Sample, Sampling, UserTurn

Script = Mapping[str, Sequence[str]]
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64)
END = 2  # the token that ends an answer


def said(text: str) -> Sample:
    """A sample with one token a character, and one for its end unless it was cut."""
    whole, is_cut = text.removesuffix("~"), text.endswith("~")
    tokens = (*map(ord, whole), *(() if is_cut else (END,)))
    ends = tuple(min(place + 1, len(whole)) for place in range(len(tokens)))
    return Sample(whole, tokens, ends, (-0.5,) * len(tokens), "length" if is_cut else "stop", 5)


def answer_of(text: str) -> str | None:
    """What stands behind the last equals sign."""
    return text.rpartition("=")[2] if "=" in text else None


def talk(method: Method, script: Script) -> tuple[Outcome, list[tuple[str, int]]]:
    """A method's outcome, and all that it asked: what was said before, and the number of the draw."""
    asked: list[tuple[str, int]] = []

    def answer(request: Generate | Search[Any]) -> Any:
        if not isinstance(request, Generate):
            return run(request)
        before = " ".join(part.text for part in request.path)
        for part, turn in zip(request.path[::2], request.path[1::2], strict=True):
            assert isinstance(part, Sample)
            assert isinstance(turn, UserTurn)
            assert turn.behind == (END if part.stop_reason == "stop" else None)
        assert (before, request.sample_index) not in asked, "asked for twice"
        asked.append((before, request.sample_index))
        return said(script[before][request.sample_index % len(script[before])])

    def run(search: Search[Any]) -> Any:
        batch = next(search)
        while True:
            try:
                batch = search.send([answer(request) for request in batch])
            except StopIteration as finished:
                return finished.value

    return run(method), asked


def answers(outcome: Outcome) -> list[tuple[int, str, str]]:
    """Each rollout: its number, its text and why it ended."""
    return [(one.sample_index, "".join(part.text for part in one.path), one.stop_reason) for one in outcome.rollouts]


def chains(outcome: Outcome) -> list[str]:
    """What was written, a line a chain: answers as they stand, critiques in round brackets, checks in square ones.

    A star is behind what was returned, a cross behind what was dropped.
    """
    leaves = [node for node in outcome.nodes if not any(other.parent is node for other in outcome.nodes)]
    return [" ".join(map(_shown, leaf.lineage)) for leaf in sorted(leaves, key=lambda leaf: leaf.address)]


def _shown(node: Node) -> str:
    before, after = {"answer": ("", ""), "critique": ("(", ")"), "check": ("[", "]")}[str(node.role)]
    return f"{before}{node.sample.text}{after}" + ("*" if node.kept else "") + ("x" if node.dropped else "")
