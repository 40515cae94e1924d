"""The judge: child processes that are bounded, shared by threads, and leave nothing behind."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from math_cases import EQUAL

from overthink.tasks.domains.domain import Judged
from overthink.tasks.domains.math import children
from overthink.tasks.domains.math.bounded import Budget, grouped, judged
from overthink.tasks.domains.math.evaluation import Undecided
from overthink.tasks.domains.math.extraction import extract_answer
from overthink.tasks.domains.math.judge import MathJudge, plain_number
from overthink.tasks.domains.math.reading import read_answer

TOWERS = [f"7^{{7^{{7^{{{top}}}}}}}" for top in range(7, 71)]
SLOW = r"\sqrt{2}" + r"+\sin(\sqrt{3})" * 250


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    with MathJudge() as judge:
        yield judge


def verdicts(judge: MathJudge, reference: str | None, answers: list[str]) -> list[str | None]:
    return [one.verdict for one in judge.judge(reference, answers)]


def test_each_answer_is_graded_against_the_reference_itself(judge: MathJudge) -> None:
    for order in ([r"28\%", "0.28", "28"], ["0.28", "28", r"28\%"], ["28", r"28\%", "0.28"]):
        found = dict(zip(order, verdicts(judge, "28", order), strict=True))
        assert found == {r"28\%": "equal", "28": "equal", "0.28": "different"}


def test_without_a_reference_there_are_keys_alone(judge: MathJudge) -> None:
    assert judge.judge(None, ["1/2", "0.5"]) == [Judged("1/2", None), Judged("1/2", None)]
    assert judge.groups(["1/2", "0.50", "2"]) == [0, 0, 1]


def test_plain_numbers_need_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a child process was started")

    monkeypatch.setattr(children.subprocess, "Popen", refuse)
    with MathJudge() as judge:
        assert judge.judge("7", ["7", "7.0", "007", "-7"])[1:] == [
            Judged("7", "equal"),
            Judged("7", "equal"),
            Judged("-7", "different"),
        ]
        assert judge.groups(["0.1", "0.10", "1"]) == [0, 0, 1]


@pytest.mark.parametrize("text", ["", "1/2", "1,000", "1e9", "nan", "inf", "x", "9" * 31, "--1", ".5"])
def test_other_texts_are_no_plain_numbers(text: str) -> None:
    assert plain_number(text) is None


def test_a_plain_number_has_the_key_that_a_child_gives_it(judge: MathJudge) -> None:
    texts = ["7", "-0.50", "007", "12345678901234567890.5"]
    quick = [one.key for one in judge.judge(None, texts)]
    assert quick == [one.key for one in judge.judge("x", texts)]


def test_towers_are_unknown_and_cost_little(judge: MathJudge) -> None:
    start = time.monotonic()
    assert verdicts(judge, "3", TOWERS) == ["unknown"] * 64
    assert judge.groups(TOWERS) == list(range(64))
    assert verdicts(judge, "3", ["3", "4", "1/2", *TOWERS[:2], "5"]) == [
        "equal", "different", "different", "unknown", "unknown", "different",
    ]  # fmt: skip
    assert time.monotonic() - start < 30


def test_a_tower_that_is_its_own_reference_is_right(judge: MathJudge) -> None:
    assert verdicts(judge, TOWERS[0], [TOWERS[0], f"${TOWERS[0]}$", TOWERS[1]]) == ["equal", "equal", "unknown"]


def test_64_surds_are_told_apart_in_seconds(judge: MathJudge) -> None:
    surds = [rf"\sqrt{{{k}}}+\sqrt{{{k + 1}}}" for k in range(2, 66)]
    start = time.monotonic()
    assert verdicts(judge, surds[5], surds).count("equal") == 1
    assert judge.groups(surds) == list(range(64))
    assert time.monotonic() - start < 20


def test_64_lists_of_surds_are_told_apart_in_seconds(judge: MathJudge) -> None:
    lists = [",".join(rf"\sqrt{{{k + i}}}" for i in range(12)) for k in range(2, 66)]
    start = time.monotonic()
    assert verdicts(judge, lists[5], lists).count("equal") == 1
    assert judge.groups(lists) == list(range(64))
    assert time.monotonic() - start < 20


def test_a_long_key_is_cut_and_still_its_own(judge: MathJudge) -> None:
    first, second = (one.key for one in judge.judge(None, ["x+" * 500 + "1", "x+" * 500 + "2"]))
    assert first != second
    assert max(len(first), len(second)) < 400


def test_a_problem_has_a_budget_that_does_not_depend_on_the_order() -> None:
    answers = [SLOW, *[f"{SLOW}+{k}" for k in range(20)], "1/2", "x=0.5"]
    start = time.process_time()
    found = judged("0.5", answers, Budget(0.05, 0.2))
    assert time.process_time() - start < 2
    assert found["1/2"][1] == found["x=0.5"][1] == "equal", "what is short comes first"
    assert "unknown" in {verdict for _, verdict, _ in found.values()}
    assert grouped(["1/2", "0.5"], Budget(0.0, 0.0)) == {"0.5": 0, "1/2": 1}, "without time only text is compared"


LONG = [
    "9" * 5000,
    "-" + "9" * 30_000,
    "0." + "3" * 30_000,
    r"0.\overline{" + "7" * 30_000 + "}",
    "0.(" + "7" * 30_000 + ")",
    "1," + ",".join(["111"] * 20_000) + ",1",
    "1" + r"\,000" * 20_000,
    "1e" + "9" * 5000,
    "1e00000000099999999",
    "9" * 3000 + "/" + "7" * 3000,
    "9" * 3900 + "^{9}",
    r"7^{60000} \pmod{" + "9" * 3900 + "}",
    "9" * 30_000 + "_8",
    "9" * 30_000 + ":2",
    "(" * 30_000,
    "= " * 30_000,
    r"\frac" * 10_000,
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: f"{text[:12]} to {len(text)}")
def test_long_texts_do_not_stop_a_run(text: str, judge: MathJudge) -> None:
    one, other = judge.judge("3", [text, "3"])
    assert (one.verdict in ("unknown", "different"), other.verdict) == (True, "equal")
    assert judge.judge(text, [text])[0].verdict == "equal"
    assert judge.groups([text, "3", text]) == [0, 1, 0]
    assert extract_answer(rf"\boxed{{{text}}}") is None or len(text) < 100_000


@pytest.mark.parametrize("text", LONG, ids=lambda text: f"{text[:12]} to {len(text)}")
def test_long_texts_that_no_child_answers_for_cost_little(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children.Children, "ask", lambda *_: None)
    with MathJudge() as judge:
        start = time.monotonic()
        assert judge.judge("3", [text])[0].verdict == "unknown"
        assert judge.groups([text, text + "1"]) == [0, 1]
        assert time.monotonic() - start < 2


MARKS = r"\frac \sqrt \{ \} \text{ \overline{ \pmod \begin{cases} \end{cases} \int \sum_{ ^{ _{ { } ( ) [ ] |"
SIGNS = ": = < , . / ^ _ - + ! % $ 7 0.5 1e9 12:30 x AM th or and in base ² ፩ 9999"
PIECES = st.sampled_from([*MARKS.split(), *SIGNS.split(), " ", "\ud800", "8" * 4500])


@settings(deadline=None, derandomize=True, max_examples=300)
@given(texts=st.lists(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)), min_size=1, max_size=5))
def test_no_text_raises(judge: MathJudge, texts: list[str]) -> None:
    for text in texts:
        with suppress(Undecided):
            read_answer(text)
        extract_answer(text, "lenient")
    assert len(judge.judge(texts[0], texts)) == len(judge.judge(None, texts)) == len(judge.groups(texts)) == len(texts)


def test_why_a_verdict_is_unknown(judge: MathJudge) -> None:
    found = judge.judge("18", [r"\approx 18", TOWERS[0], r"\int_0^1 x\,dx", "9" * 5000, "x=18", "19"])
    assert [one.reason for one in found] == ["unread", "undecided", "unread", "unread", None, None]
    with MathJudge(time_limit=0.0) as hurried:
        assert [one.reason for one in hurried.judge("1/2", ["x"])] == ["limit"]


def test_threads_share_the_children(judge: MathJudge) -> None:
    pairs = EQUAL * 3
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: verdicts(judge, pair[0], [pair[1]]), pairs))
    assert found == [["equal"]] * len(pairs)


def test_groups_are_the_same_in_20_orders_of_any_8_answers(judge: MathJudge) -> None:
    source = Random(8)
    pool = sorted({answer for pair in EQUAL for answer in pair})
    for _ in range(5):
        chosen = source.sample(pool, 8)
        expected = dict(zip(chosen, judge.groups(chosen), strict=True))
        for _ in range(20):
            order = source.sample(chosen, 8)
            found = judge.groups(order)
            together = [
                (found[a] == found[b]) == (expected[order[a]] == expected[order[b]]) for a in range(8) for b in range(8)
            ]
            assert all(together)


@pytest.mark.parametrize("gone", [False, True], ids=["just killed", "killed long ago"])
def test_a_child_killed_from_outside_costs_nothing(gone: bool) -> None:
    with MathJudge(processes=1) as judge:
        assert verdicts(judge, "1/2", ["0.5"]) == ["equal"]
        (child,) = judge._children._all
        os.kill(child.process.pid, signal.SIGKILL)
        if gone:
            child.process.wait()
        assert verdicts(judge, "1/4", ["0.25", "1/4"]) == ["equal", "equal"]
        assert verdicts(judge, "1/8", ["0.125"]) == ["equal"]


FRAGILE = """
import os, time
from overthink.tasks.domains.math import worker
honest = worker.reply
def reply(request):
    if any("dies" in text for text in request["answers"]):
        os._exit(1)
    if any("hangs" in text for text in request["answers"]):
        time.sleep(3600)
    return honest(request)
worker.reply = reply
worker.main()
"""


@pytest.mark.parametrize("bad", ["dies", "hangs"])
def test_an_answer_that_ends_its_process_costs_its_own_verdict_alone(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile_worker.py").write_text(FRAGILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(children, "GRACE_SECONDS", 1.0)
    with MathJudge(time_limit=0.5, problem_limit=1.0, processes=1) as judge:
        judge._children = children.Children("fragile_worker", 1)
        found = judge.judge("1/2", ["0.5", bad, r"\frac12", "2"])
        assert [one.verdict for one in found] == ["equal", "unknown", "equal", "different"]
        assert found[1].reason == "limit"
        if bad == "dies":
            assert judge.groups(["0.5", bad, r"\frac12", bad]) == [0, 1, 0, 1]


def test_files_where_the_user_stands_are_not_taken_for_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mpmath.py").write_text("raise SystemExit('a file of the user, imported by the judge')")
    monkeypatch.chdir(tmp_path)
    with MathJudge(processes=1) as judge:
        assert verdicts(judge, "1/2", ["0.5"]) == ["equal"]


def test_leaving_the_judge_ends_its_children() -> None:
    with MathJudge(processes=2) as judge:
        verdicts(judge, "1/2", ["0.5"])
        (child,) = judge._children._all
    assert child.process.poll() is not None


def test_answers_with_line_breaks_and_lone_surrogates_do_not_shift_the_replies(judge: MathJudge) -> None:
    assert verdicts(judge, "1/2", ["0.5\n0.5", "\ud800", "\r\n\u2028x", "0.5"]) == [
        "different", "different", "different", "equal",
    ]  # fmt: skip
