"""Self-refinement: an answer, a critique of it, a revised answer; on chats written by hand."""

from typing import Any

import pytest
from spoken_chats import SAMPLING, Script, answers, chains, talk

from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.revising import says_right
from overthink.tasks.methods.self_refine import RefineTurns, self_refine

WRONG, RIGHT = "Verdict: wrong", "Verdict: right"


def refine(n: int = 1, rounds: int = 2) -> Method:
    return self_refine(SAMPLING, n, rounds, RefineTurns("?", "!"))


CASES: dict[str, tuple[Script, list[str], list[tuple[int, str, str]]]] = {
    "right at once: no answer more": (
        {"": ["x=1"], "x=1 ?": [RIGHT]},
        ["x=1* (Verdict: right)"],
        [(0, "x=1", "stop")],
    ),
    "wrong, then right": (
        {"": ["x=1"], "x=1 ?": [WRONG], f"x=1 ? {WRONG} !": ["x=2"], f"x=1 ? {WRONG} ! x=2 ?": [RIGHT]},
        ["x=1 (Verdict: wrong) x=2* (Verdict: right)"],
        [(0, "x=2", "stop")],
    ),
    "never right: the last answer after all rounds, on which no critique is asked": (
        {
            "": ["x=1"],
            "x=1 ?": [WRONG],
            f"x=1 ? {WRONG} !": ["x=2"],
            f"x=1 ? {WRONG} ! x=2 ?": ["x is 1"],
            f"x=1 ? {WRONG} ! x=2 ? x is 1 !": ["x=1"],
        },
        ["x=1 (Verdict: wrong) x=2 (x is 1) x=1*"],
        [(0, "x=1", "stop")],
    ),
    "no verdict is not right": (
        {"": ["x=1"], "x=1 ?": ["hm"], "x=1 ? hm !": ["x=3"], "x=1 ? hm ! x=3 ?": [RIGHT]},
        ["x=1 (hm) x=3* (Verdict: right)"],
        [(0, "x=3", "stop")],
    ),
    "a critique that is cut behind its verdict has not ended there": (
        {
            "": ["x=1"],
            "x=1 ?": [f"{RIGHT}, if~"],
            f"x=1 ? {RIGHT}, if !": ["x=2"],
            f"x=1 ? {RIGHT}, if ! x=2 ?": [f"{RIGHT}~"],
        },
        ["x=1 (Verdict: right, if) x=2* (Verdict: right)"],
        [(0, "x=2", "stop")],
    ),
    "a blank critique is a dead end": (
        {"": ["x=1"], "x=1 ?": [" "]},
        ["x=1* ( )x"],
        [(0, "x=1", "stop")],
    ),
    "a blank revision is a dead end: the answer before stands": (
        {"": ["x=1"], "x=1 ?": [WRONG], f"x=1 ? {WRONG} !": [""]},
        ["x=1* (Verdict: wrong) x"],
        [(0, "x=1", "stop")],
    ),
    "a context that is full is a blank reply": (
        {"": ["x=1"], "x=1 ?": ["~"]},
        ["x=1* ()x"],
        [(0, "x=1", "stop")],
    ),
    "a blank first answer gets no critique": (
        {"": [""]},
        ["*x"],
        [(0, "", "stop")],
    ),
    "an answer that was cut is revised, and one that is cut is told so": (
        {"": ["x=~"], "x= ?": [WRONG], f"x= ? {WRONG} !": ["x=2~"], f"x= ? {WRONG} ! x=2 ?": [RIGHT]},
        ["x= (Verdict: wrong) x=2* (Verdict: right)"],
        [(0, "x=2", "length")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_chain_by_hand(name: str) -> None:
    script, written, returned = CASES[name]
    outcome, asked = talk(refine(), script)
    assert chains(outcome) == written
    assert answers(outcome) == returned
    assert [before for before, _ in asked] == [*script], "in this order, and nothing else"


def test_chains_go_on_each_by_itself_and_equal_answers_are_different_draws() -> None:
    script = {
        "": ["x=1", "x=1", "x=2"],
        "x=1 ?": [RIGHT, WRONG],
        "x=2 ?": [RIGHT],
        f"x=1 ? {WRONG} !": ["", "x=3"],
        f"x=1 ? {WRONG} ! x=3 ?": [RIGHT],
    }
    outcome, asked = talk(refine(3), script)
    assert answers(outcome) == [(0, "x=1", "stop"), (1, "x=3", "stop"), (2, "x=2", "stop")]
    assert [draw for before, draw in asked if before == "x=1 ?"] == [0, 1]
    assert [node.address for node in outcome.nodes][:3] == [(0,), (1,), (2,)]


def test_a_rollout_has_the_tokens_of_its_last_answer_alone() -> None:
    outcome, _ = talk(refine(rounds=1), {"": ["x=1"], "x=1 ?": [WRONG], f"x=1 ? {WRONG} !": ["x=23"]})
    (rollout,) = outcome.rollouts
    assert [len(part.tokens) for part in rollout.path if hasattr(part, "tokens")] == [5]
    assert [node.completion_tokens for node in outcome.nodes] == [4, 15, 5]


@pytest.mark.parametrize(
    ("critique", "verdict"),
    [
        ("Verdict: right", True),
        ("all fine.\n**Verdict:** Correct.", True),
        ("The verdict is wrong", False),
        ("verdict: right? No, verdict: INCORRECT", False),
        ("Verdict: wrong, then again\nVerdict: right", True),
        ("The answer is right", None),
        ("Verdict: rightly so", None),
        ("Verdict: not right", None),
        ("Verdict: right or wrong", None),
        ("Verdict: right, or is it wrong?", None),
        ("Verdict: right/incorrect", None),
        ("", None),
    ],
)
def test_the_last_verdict_counts(critique: str, verdict: bool | None) -> None:
    assert says_right(critique, is_whole=True) is verdict


def test_the_first_requests_of_all_chains_are_one_batch() -> None:
    method: Any = refine(4)
    (*chains_of_one_batch,) = next(method)
    assert len(chains_of_one_batch) == 4
