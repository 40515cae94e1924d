"""Mathematical equality, decided in a child process that can be cut off."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.problems import equality
from tasks.problems.equality import EqualityJudge, Verdict, group_answers, plain_number

BLOW_UP = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def judge() -> Iterator[EqualityJudge]:
    with EqualityJudge(time_limit=30) as judge:
        yield judge


@pytest.fixture
def childless(monkeypatch: pytest.MonkeyPatch) -> EqualityJudge:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a child process was started")

    monkeypatch.setattr(equality.subprocess, "Popen", refuse)
    return EqualityJudge()


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("7", "7", "equal"),
        ("7", "7.0", "equal"),
        ("$7$", " +7 ", "equal"),
        ("007", "7", "equal"),
        ("-3", "3", "different"),
        ("0.1", "0.10000000000000000000000001", "different"),
        ("x^2", "x^2", "equal"),
    ],
)
def test_plain_numbers_and_identical_texts_need_no_child(
    childless: EqualityJudge, reference: str, answer: str, verdict: Verdict
) -> None:
    assert childless.compare(reference, answer) == verdict


@pytest.mark.parametrize("text", ["", "1/2", "1,000", "1e9", "nan", "inf", "x", "9" * 31, "--1", ".5"])
def test_other_texts_are_no_plain_numbers(text: str) -> None:
    assert plain_number(text) is None


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("1/2", "0.5"),
        (r"\frac{1}{2}", "0.5"),
        (r"\frac{1}{2}", "1/2"),
        ("(1,2)", "(1, 2)"),
        (r"\{1,2\}", r"\{2, 1\}"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        (r"\text{Evelyn}", "Evelyn"),
        ("x+y", "y + x"),
        ("1,000", "1000"),
    ],
)
def test_equal_in_mathematics(judge: EqualityJudge, reference: str, answer: str) -> None:
    assert judge.compare(reference, answer) == "equal"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("1/2", "0.51"),
        ("(1,2)", "(2,1)"),
        (r"\{1,2\}", r"\{1,3\}"),
        (r"\sqrt{8}", r"\sqrt{2}"),
        ("Evelyn", "Tom"),
        ("x+y", "x-y"),
        ("3", "no idea"),
        ("3", "\ud800"),
        ("3", "\x00\n4"),
    ],
)
def test_different_in_mathematics(judge: EqualityJudge, reference: str, answer: str) -> None:
    assert judge.compare(reference, answer) == "different"


def test_an_answer_with_line_breaks_does_not_shift_the_replies(judge: EqualityJudge) -> None:
    pairs = [("1/2", "0.5\n0.5"), ("2/4", "0.5"), ("2/4", "\r\n\u2028x"), ("3/4", "0.75")]
    assert [judge.compare(*pair) for pair in pairs][1::2] == ["equal", "equal"]


def test_a_blow_up_is_unknown_and_the_judge_goes_on() -> None:
    with EqualityJudge(time_limit=2) as judge:
        assert judge.compare("3", BLOW_UP) == "unknown"
        assert judge.compare("1/2", "0.5") != "different"  # the new child's first comparison may be slow
        judge._time_limit = 30
        assert judge.compare("1/4", "0.25") == "equal"


def test_a_verdict_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def ask(self: EqualityJudge, pair: tuple[str, str]) -> Verdict:
        asked.append(pair)
        return "unknown"

    monkeypatch.setattr(EqualityJudge, "_ask", ask)
    judge = EqualityJudge()
    assert [judge.compare("1/2", "x") for _ in range(3)] == ["unknown"] * 3
    assert asked == [("1/2", "x")]


@pytest.mark.parametrize("gone", [False, True], ids=["just killed", "killed long ago"])
def test_a_child_killed_from_outside_costs_one_verdict(gone: bool) -> None:
    with EqualityJudge(time_limit=30) as judge:
        assert judge.compare("1/2", "0.5") == "equal"
        os.kill(judge._child.pid, signal.SIGKILL)
        if gone:
            judge._child.wait()
        assert judge.compare("1/4", "0.25") == "unknown"
        assert judge.compare("1/8", "0.125") == "equal"


def test_files_where_the_user_stands_are_not_taken_for_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sympy.py").write_text("raise SystemExit('a file of the user, imported by the judge')")
    monkeypatch.chdir(tmp_path)
    with EqualityJudge(time_limit=30) as judge:
        assert judge.compare("1/2", "0.5") == "equal"


def test_leaving_the_judge_ends_its_child() -> None:
    with EqualityJudge(time_limit=30) as judge:
        judge.compare("1/2", "0.5")
        child = judge._child
    assert child.poll() is not None


def same_class(reference: str, answer: str) -> Verdict:
    """Answers are equal by their first letter; 'u' can be compared with nothing but itself."""
    if reference == answer:
        return "equal"
    if "u" in (reference[0], answer[0]):
        return "unknown"
    return "equal" if reference[0] == answer[0] else "different"


def test_a_group_is_named_by_its_first_answer() -> None:
    known: list[str] = []
    assert group_answers(["a1", None, "b1", "a2", "b2"], known, same_class) == ["a1", None, "b1", "a1", "b1"]
    assert known == ["a1", "b1"]


def test_answers_of_unknown_equality_stay_apart() -> None:
    assert group_answers(["a1", "u1", "u2", "u1"], [], same_class) == ["a1", "u1", "u2", "u1"]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    answers=st.lists(st.sampled_from([None, "a1", "a2", "b1", "b2", "c1", "u1", "u2"]), max_size=12),
    cut=st.integers(0, 12),
)
def test_keys_stay_the_same_when_further_answers_come_later(answers: list[str | None], cut: int) -> None:
    whole = group_answers(answers, [], same_class)
    first = group_answers(answers[:cut], [], same_class)
    known = list(dict.fromkeys(key for key in first if key is not None))  # as the grade stage reads them back
    assert first + group_answers(answers[cut:], known, same_class) == whole
    assert [key is None for key in whole] == [answer is None for answer in answers]


def test_groups_of_real_answers(judge: EqualityJudge) -> None:
    answers = ["0.5", r"\frac{1}{2}", None, "2", "1/2", "2.0"]
    assert group_answers(answers, [], judge.compare) == ["0.5", "0.5", None, "2", "0.5", "2"]
