"""Sequential revisions: chains of answers, and which of them stand for a chain; on chats written by hand."""

import pytest
from spoken_chats import SAMPLING, Script, answer_of, answers, chains, talk

from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.sequential_revisions import Returned, RevisionChain, sequential_revisions


def revise(count: int, length: int, what: Returned = "last", seen: int = 4) -> Method:
    return sequential_revisions(SAMPLING, count, RevisionChain(length, seen, "!"), what, answer_of)


# One chain of at most four: its answers, and those that `last` and `vote` return; `all` returns what is not blank.
CASES: dict[str, tuple[list[str], str, str]] = {
    "the last one": (["x=1", "x=2", "x=3", "x=4"], "x=4", "x=4"),
    "most of them": (["x=1", "y=1", "x=2", "x=3"], "x=3", "y=1"),
    "a tie goes to the answer given last": (["x=1", "x=2", "y=1", "y=2"], "y=2", "y=2"),
    "a tie whose answers stand apart": (["x=1", "x=2", "y=2", "y=1"], "y=1", "y=1"),
    "texts without an answer do not vote": (["x", "y", "x=1", "z"], "z", "x=1"),
    "no answer at all": (["x", "y", "z", "w"], "w", "w"),
    "a blank revision ends the chain": (["x=1", "x=2", ""], "x=2", "x=2"),
    "a context that is full ends the chain": (["x=1", "y=1", "x=2", "~"], "x=2", "y=1"),
    "a blank first answer is the only one": ([""], "", ""),
    "one that was cut is revised": (["x=1~", "x=2", "x=3", "x=2"], "x=2", "x=2"),
}


def script_of(written: list[str]) -> Script:
    script, before = {}, ""
    for text in written:
        script[before] = [text]
        before = f"{before} {text.removesuffix('~')} !".strip()
    return script


@pytest.mark.parametrize("what", ["last", "vote", "all"])
@pytest.mark.parametrize("name", CASES)
def test_a_chain_by_hand(name: str, what: Returned) -> None:
    written, last, vote = CASES[name]
    script, texts = script_of(written), [text.removesuffix("~") for text in written]
    expected = {"last": [last], "vote": [vote], "all": [text for text in texts if text] or [""]}[what]
    outcome, asked = talk(revise(1, 4, what), script)
    assert [text for _, text, _ in answers(outcome)] == expected
    assert [node.sample.text for node in outcome.nodes if node.kept] == expected
    assert [node.sample.text for node in outcome.nodes] == texts
    assert [before for before, _ in asked] == [*script]


def test_chains_are_written_side_by_side() -> None:
    script = {
        "": ["x=1", "x=1", "x=2"],
        "x=1 !": ["x=3", "x=4"],
        "x=2 !": ["x=5"],
    }
    outcome, asked = talk(revise(3, 2), script)
    assert answers(outcome) == [(0, "x=3", "stop"), (1, "x=4", "stop"), (2, "x=5", "stop")]
    assert chains(outcome) == ["x=1 x=3*", "x=1 x=4*", "x=2 x=5*"]
    assert [draw for before, draw in asked if before == "x=1 !"] == [0, 1]


def test_all_answers_are_numbered_by_chain_and_place_those_of_chains_that_end_early_left_out() -> None:
    script = {"": ["x=1", "x=2"], "x=1 !": [""], "x=2 !": ["x=3"], "x=2 ! x=3 !": ["x=4"]}
    outcome, _ = talk(revise(2, 3, "all"), script)
    assert answers(outcome) == [(0, "x=1", "stop"), (3, "x=2", "stop"), (4, "x=3", "stop"), (5, "x=4", "stop")]


def test_only_so_many_answers_are_in_view() -> None:
    script = {"": ["x=1"], "x=1 !": ["x=2"], "x=1 ! x=2 !": ["x=3"], "x=2 ! x=3 !": ["x=4"]}
    outcome, asked = talk(revise(1, 4, seen=2), script)
    assert answers(outcome) == [(0, "x=4", "stop")]
    assert [before for before, _ in asked] == [*script]


def test_a_chain_of_one_is_best_of_n() -> None:
    outcome, asked = talk(revise(3, 1), {"": ["x=1", "x", "x=3~"]})
    assert answers(outcome) == [(0, "x=1", "stop"), (1, "x", "stop"), (2, "x=3", "length")]
    assert asked == [("", 0), ("", 1), ("", 2)]
