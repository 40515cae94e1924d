"""Self-verification: answers that hold when the problem is solved from them again; on chats written by hand."""

import pytest
from spoken_chats import SAMPLING, Script, answer_of, answers, chains, talk

from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.self_verify import self_verify


def verify(n: int) -> Method:
    return self_verify(SAMPLING, n, "is it {answer}?", answer_of)


CASES: dict[str, tuple[Script, list[str], list[tuple[int, str, str]]]] = {
    "one holds, one does not": (
        {"": ["x=1", "x=2"], "x=1 is it 1?": ["y=3"], "x=2 is it 2?": ["y=2"]},
        ["x=1 [y=3]", "x=2* [y=2]"],
        [(1, "x=2", "stop")],
    ),
    "all hold": (
        {"": ["x=1", "x=2"], "x=1 is it 1?": ["y=1"], "x=2 is it 2?": ["y=2"]},
        ["x=1* [y=1]", "x=2* [y=2]"],
        [(0, "x=1", "stop"), (1, "x=2", "stop")],
    ),
    "none holds: all stand": (
        {"": ["x=1", "x=2"], "x=1 is it 1?": ["y=2"], "x=2 is it 2?": ["y=1"]},
        ["x=1* [y=2]", "x=2* [y=1]"],
        [(0, "x=1", "stop"), (1, "x=2", "stop")],
    ),
    "equal answers are checked each by itself": (
        {"": ["x=1", "x=1", "x=1"], "x=1 is it 1?": ["y=1", "y=2", "y=1"]},
        ["x=1* [y=1]", "x=1 [y=2]", "x=1* [y=1]"],
        [(0, "x=1", "stop"), (2, "x=1", "stop")],
    ),
    "an answer that is none is not checked, and does not hold": (
        {"": ["x", "x=2"], "x=2 is it 2?": ["y=2"]},
        ["x", "x=2* [y=2]"],
        [(1, "x=2", "stop")],
    ),
    "no answer at all": (
        {"": ["x", ""]},
        ["x*", "*x"],
        [(0, "x", "stop"), (1, "", "stop")],
    ),
    "a check without an answer does not bear one out": (
        {"": ["x=1", "x=2"], "x=1 is it 1?": ["yes"], "x=2 is it 2?": ["y=2"]},
        ["x=1 [yes]", "x=2* [y=2]"],
        [(1, "x=2", "stop")],
    ),
    "a blank check is a dead end": (
        {"": ["x=1", "x=2"], "x=1 is it 1?": [""], "x=2 is it 2?": ["y=2"]},
        ["x=1 []x", "x=2* [y=2]"],
        [(1, "x=2", "stop")],
    ),
    "an answer that was cut is checked like any other": (
        {"": ["x=1~"], "x=1 is it 1?": ["y=1"]},
        ["x=1* [y=1]"],
        [(0, "x=1", "length")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_checks_by_hand(name: str) -> None:
    script, written, returned = CASES[name]
    outcome, asked = talk(verify(len(script[""])), script)
    assert chains(outcome) == written
    assert answers(outcome) == returned
    assert {before for before, _ in asked} == {*script}
