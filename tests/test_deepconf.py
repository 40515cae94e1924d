"""DeepConf online: the bar of the first rollouts, where the others end, and who votes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import recipe_of
from hypothesis import given, settings
from hypothesis import strategies as st
from search_trees import ORDERS, Pick, Play, play
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import BadReply
from overthink.tasks.methods.chunks import joined
from overthink.tasks.methods.deepconf import DeepConfRule, deepconf
from overthink.tasks.methods.requests import Generate, Outcome, Score
from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.reasoning_marks import ReasoningMarks
from overthink.tasks.records import Part, Rollout, Sample, SampleStop, Sampling, Scores

SAMPLING = Sampling(temperature=0.7, top_p=1.0, max_tokens=12)
RULE = DeepConfRule(warm_up=4, keep=50, group=2, chunk=3, wave=2, consensus=None)


class Digits:
    """A policy whose n-th solution is the n-th text: each character is a token, and a digit its confidence, else 9."""

    def __init__(self, *texts: str, keeps_confidence: bool = True) -> None:
        self._texts, self._keeps = texts, keeps_confidence

    def sample(self, request: Generate) -> Sample:
        sampling, before = request.sampling, sum(len(part.text) for part in request.path if isinstance(part, Sample))
        before += sum(len(str(part.ended_by or "")) for part in request.path if isinstance(part, Sample))
        text = self._texts[request.sample_index][before:]
        ends = [(text.index(mark) + len(mark), mark) for mark in sampling.marks if mark in text]
        length, mark = min(ends, default=(len(text), None))
        written = text[: min(length, sampling.max_tokens)]
        reason: SampleStop = "length" if len(written) < length else "stop" if mark is None else "delimiter"
        begin = length - len(mark) if mark is not None and reason == "delimiter" else len(written)
        sure = tuple(float(one) if one.isdigit() else 9.0 for one in written) if self._keeps else None
        return Sample(
            text=written[:begin],
            tokens=tuple(map(ord, written)),
            token_ends=tuple(min(end, begin) for end in range(1, len(written) + 1)),
            logprobs=(-0.5,) * len(written),
            stop_reason=reason,
            prompt_tokens=5,
            ended_by=mark if reason == "delimiter" else None,
            confidences=sure,
        )

    def score(self, request: Score) -> Scores:
        raise AssertionError("no PRM is asked")


def answer_of(text: str) -> str | None:
    """The last letter."""
    return text[-1] if text and text[-1].isalpha() else None


def drawn(texts: Sequence[str], pick: Pick = ORDERS[0], thinking: Thinking | None = None, **rule: Any) -> Play[Outcome]:
    search = deepconf(SAMPLING, len(texts), replace(RULE, **rule), answer_of, thinking)
    return play(search, Digits(*texts), pick)


def text_of(rollout: Rollout) -> str:
    return "".join(part.text for part in rollout.path)


def ends(played: Play[Outcome]) -> list[tuple[str, str]]:
    return [(text_of(rollout), rollout.stop_reason) for rollout in played.result.rollouts]


# The lowest pairs are 8.0, 2.5, 4.0 and 6.0: the median, 5.0, is the bar.
FIRST = ["888", "9932", "4455", "66a"]


@pytest.mark.parametrize("pick", ORDERS)
def test_a_rollout_ends_with_the_first_group_below_the_bar(pick: Pick) -> None:
    played = drawn([*FIRST, "55a", "7773388888", "99999914b", "46a"], pick)
    assert ends(played) == [
        ("888", "stop"),
        ("9932", "confidence"),
        ("4455", "confidence"),
        ("66a", "stop"),
        ("55a", "stop"),  # 5.0 is no less than the bar
        ("77733", "confidence"),  # 7 3 is 5.0, 3 3 is below; 8 was written in the same chunk
        ("99999914", "confidence"),  # 9 1 is 5.0, 1 4 below
        ("46a", "stop"),
    ]


def test_the_first_are_asked_for_whole_and_the_others_in_chunks_that_go_on_from_their_tokens() -> None:
    played = drawn([*FIRST, "9999999a"])
    assert played.generated[:4] == [Generate((), index, SAMPLING) for index in range(4)]
    chunks = played.generated[4:]
    assert [(request.sample_index, request.sampling.max_tokens) for request in chunks] == [(4, 3)] * 3
    written = [[part.text for part in request.path] for request in chunks]
    assert written == [[], ["999"], ["999", "999"]]
    whole = played.result.rollouts[4]
    assert whole.path == (Digits(*[""] * 4, "9999999a").sample(Generate((), 4, SAMPLING)),), "it is one sample again"


def test_the_limit_of_a_solution_ends_it() -> None:
    played = drawn([*FIRST, "9" * 20])
    assert ends(played)[4] == ("9" * 12, "length")
    assert [request.sampling.max_tokens for request in played.generated[4:]] == [3, 3, 3, 3]


def test_a_rollout_shorter_than_a_group_is_judged_at_its_end() -> None:
    assert ends(drawn(["999", "888", "777", "666", "11a", "99a"], group=100, keep=50))[4:] == [
        ("11a", "confidence"),  # (1 + 1 + 9) / 3 is below 7.5
        ("99a", "stop"),
    ]


def test_a_policy_without_confidence_is_an_error() -> None:
    search = deepconf(SAMPLING, 5, RULE, answer_of, None)
    with pytest.raises(BadReply, match="the method reads the confidence of every token"):
        play(search, Digits(*FIRST, "9", keeps_confidence=False))


def test_drawing_ends_where_the_vote_agrees_and_who_fell_has_no_vote() -> None:
    texts = ["99a", "99b", "99a", "99b", "99a", "11b", "99a", "99a", "99a", "99a"]
    # With 11b, which falls below 9.0, b would have 19 of 64 votes instead of 18 of 63 after the second wave.
    assert len(drawn(texts, consensus=45 / 63).result.rollouts) == 8
    assert len(drawn(texts, consensus=0.75).result.rollouts) == 10
    assert len(drawn(["99a"] * 6, consensus=1.0).result.rollouts) == 4, "the first ones agree"


MARKS = ReasoningMarks("<think>", "</think>")
OPENED = Thinking(MARKS, opened=True)


def test_a_rollout_that_falls_while_it_thinks_is_reasoning() -> None:
    played = drawn(["9</think>a"] * 4 + ["9911111"], thinking=OPENED, chunk=4)
    (part,) = played.result.rollouts[4].path
    assert (part.text, part.is_reasoning, played.result.rollouts[4].stop_reason) == ("991", True, "confidence")


@pytest.mark.parametrize("chunk", range(1, 13))
def test_a_mark_that_lies_across_two_chunks_ends_the_reasoning(chunk: int) -> None:
    (*_, rollout) = drawn(["9</think>a"] * 5, thinking=OPENED, chunk=chunk).result.rollouts
    assert [(part.text, part.is_reasoning) for part in rollout.path] == [("9", True), ("a", False)]
    assert sum(len(part.tokens) for part in rollout.path if isinstance(part, Sample)) == 10


def expected(text: str, bar: float, group: int) -> tuple[str, str]:
    """What is left of a text that is watched token by token."""
    text, is_cut = text[:12], len(text) > 12
    sure = [int(one) for one in text]
    for end in range(group, len(text) + 1):
        if np.mean(sure[end - group : end]) < bar:
            return text[:end], "confidence"
    if len(text) < group and np.mean(sure or [0]) < bar:
        return text, "confidence"
    return text, "length" if is_cut else "stop"


TEXTS = st.lists(st.text("123456789", min_size=1, max_size=14), min_size=5, max_size=8)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(texts=TEXTS, group=st.sampled_from([1, 2, 4]), chunk=st.integers(1, 7), keep=st.sampled_from([10, 50, 90]))
def test_the_size_of_chunks_changes_nothing(texts: list[str], group: int, chunk: int, keep: int) -> None:
    def least(text: str) -> float:
        sure = [int(one) for one in text[:12]]
        width = min(group, len(sure))
        return min(float(np.mean(sure[begin : begin + width])) for begin in range(len(sure) - width + 1))

    played = drawn(texts, group=group, chunk=chunk, keep=keep)
    bar = np.percentile([least(text) for text in texts[:4]], 100 - keep)
    assert ends(played)[4:] == [expected(text, float(bar), group) for text in texts[4:]]
    assert [stop == "confidence" for _, stop in ends(played)[:4]] == [least(text) < bar for text in texts[:4]]


def test_joined_pieces_are_what_one_call_would_have_written() -> None:
    world = Digits("123456789a")
    whole = world.sample(Generate((), 0, SAMPLING))
    pieces: list[Part] = []
    for size in (4, 1, 5):
        pieces.append(world.sample(Generate(tuple(pieces), 0, replace(SAMPLING, max_tokens=size))))
    assert joined([piece for piece in pieces if isinstance(piece, Sample)]) == whole


BASE: dict[str, Any] = {
    "name": "watched",
    "problems": {"source": "chains", "count": 3},
    "policy": {"engine": "fake"},
    "methods": [{"method": "deepconf", "n": 12, "warm_up": 4, "keep": 50, "chunk": 8}],
    "sampling": {"confidence": {"group": 4, "tail": 8}},
    "budgets": [12],
    "selectors": ["majority", "deepconf_lowest_vote", "oracle"],
}
FALLEN_SQL = """SELECT count(*) AS n, count(answer) AS answers, list(DISTINCT detail) AS details
    FROM rollouts JOIN grades USING (rollout_id) WHERE stop_reason = 'confidence'"""
WHOLE_SQL = """SELECT sum(mean) * 12 AS n FROM
    (SELECT avg(completion_tokens) AS mean FROM rollouts WHERE sample_index < 4 GROUP BY problem_id)"""
METHOD = "deepconf-n12-warm_up4-keep50-chunk8"


def test_a_run_tells_what_was_saved_and_those_that_fell_have_no_answer(prefect_server: str, tmp_path: Path) -> None:
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    store = Store(tmp_path)
    (row,) = query(store, FALLEN_SQL).to_pylist()
    assert row["n"] >= 6 and row["answers"] == 0
    assert row["details"] == ["ended by its confidence, so that it has no vote"]
    spent = query(store, "SELECT sum(output_tokens)::BIGINT AS n FROM calls").to_pylist()[0]["n"]
    whole = query(store, WHOLE_SQL).to_pylist()[0]["n"]
    report = CliRunner().invoke(app, ["report", "watched", "--store", str(tmp_path)])
    line = f"{METHOD} wrote {spent:,} of about {whole:,.0f} tokens: {100 * (1 - spent / whole):.0f} % saved"
    assert line in " ".join(report.output.split())
    assert {row["method_id"] for row in query(store, "SELECT DISTINCT method_id FROM summary").to_pylist()} == {METHOD}


def test_a_run_that_died_between_two_chunks_goes_on_behind_the_last(
    prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count_calls: Counter[str]
) -> None:
    asyncio.run(evaluate(recipe_of(BASE), tmp_path / "whole"))
    needed, generate = count_calls["generate"], FakePolicy.generate
    count_calls.clear()

    async def dies(*arguments: Any) -> Sample:
        if count_calls["generate"] >= needed // 2:
            raise RuntimeError("died")
        return await generate(*arguments)

    with monkeypatch.context() as dying:
        dying.setattr(FakePolicy, "generate", dies)
        with pytest.raises(RuntimeError, match="died"):
            asyncio.run(evaluate(recipe_of(BASE), tmp_path / "killed"))
    asyncio.run(evaluate(recipe_of(BASE), tmp_path / "killed"))
    assert count_calls["generate"] == needed
    sql = "SELECT problem_id, sample_index, text, stop_reason, confidence_lowest FROM rollouts ORDER BY ALL"
    assert query(Store(tmp_path / "killed"), sql) == query(Store(tmp_path / "whole"), sql)
