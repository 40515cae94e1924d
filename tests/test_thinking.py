"""Solutions that think first: exact tokens of reasoning and answer, of budgets and of ends that are held back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from overthink.tasks.engines.fakes.fake import text_sample, written_text
from overthink.tasks.methods.requests import Generate, Search
from overthink.tasks.methods.thinking import MOST_HELD_BACK, Thinking, solution, solutions, without_end
from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.records import (
    Given,
    Part,
    Rollout,
    Sample,
    Sampling,
    answer_parts,
    path_text,
    reasoning_parts,
    steps_of,
)

SAMPLING = Sampling(0.7, 1.0, 200)
THINKING = Thinking(FAMILIES["think"], opened=True)
WRITES = Thinking(FAMILIES["think"], opened=False)
Script = Callable[[str], str]


def play(search: Search[Any], script: Script) -> tuple[Any, list[Generate]]:
    """A search over a policy that goes on from what stands so far as `script` says; a character is a token."""
    asked: list[Generate] = []

    def answer(request: Any) -> Any:
        if not isinstance(request, Generate):
            return play_into(request)
        asked.append(request)
        return text_sample(script(written_text(request.path, "\n\n")), request.sampling, 1)

    def play_into(search: Search[Any]) -> Any:
        replies: Sequence[Any] | None = None
        while True:
            try:
                batch = next(search) if replies is None else search.send(replies)
            except StopIteration as end:
                return end.value
            replies = [answer(request) for request in batch]

    return play_into(search), asked


def rest_of(text: str) -> Script:
    """A policy that wants to write one text, whatever is put into it."""
    return lambda written: text.removeprefix(written) if text.startswith(written) else text


def texts(rollout: Rollout) -> tuple[str, str]:
    return path_text(reasoning_parts(rollout.path), "\n\n"), path_text(answer_parts(rollout.path), "\n\n")


def tokens(path: Sequence[Part]) -> str:
    """The characters of a path's tokens, given text in brackets."""
    return "".join(f"[{part.text}]" if isinstance(part, Given) else "".join(map(chr, part.tokens)) for part in path)


def thought(text: str, thinking: Thinking = THINKING, sampling: Sampling = SAMPLING) -> Rollout:
    return play(solution(sampling, thinking, 0), rest_of(text))[0]


def test_what_follows_the_closing_mark_is_the_answer() -> None:
    rollout, asked = play(solution(SAMPLING, THINKING, 3), rest_of("Try \\boxed{7}.</think>\n\nIt is \\boxed{8}."))
    assert texts(rollout) == ("Try \\boxed{7}.", "\n\nIt is \\boxed{8}.")
    assert (rollout.sample_index, rollout.stop_reason) == (3, "stop")
    assert [request.sampling.marks for request in asked] == [("</think>", "<think>"), ()]
    assert [request.sampling.max_tokens for request in asked] == [200, 200 - len("Try \\boxed{7}.</think>")]
    assert {request.sample_index for request in asked} == {3}


def test_a_policy_that_opens_its_reasoning_itself_is_asked_first_whether_it_does() -> None:
    rollout, asked = play(solution(SAMPLING, WRITES, 0), rest_of("<think>a</think>b"))
    assert texts(rollout) == ("<think>a", "b")
    assert [request.sampling.marks for request in asked] == [
        ("<think>", "</think>"),
        ("</think>", "<think>"),
        (),
    ]
    assert tokens(rollout.path) == "<think>a</think>b"


def test_a_policy_that_does_not_think_answers_in_one_call() -> None:
    rollout, asked = play(solution(SAMPLING, WRITES, 0), rest_of("It is 8."))
    assert (texts(rollout), len(asked), rollout.stop_reason) == (("", "It is 8."), 1, "stop")


def test_what_a_policy_closes_without_having_opened_it_is_reasoning() -> None:
    rollout, asked = play(solution(SAMPLING, WRITES, 0), rest_of("Try \\boxed{7}</think> It is \\boxed{8}"))
    assert texts(rollout) == ("Try \\boxed{7}", " It is \\boxed{8}")
    assert len(asked) == 2


def test_a_mark_within_an_answer_is_its_text() -> None:
    text = "The tag <think> opens,\n\nand </think> closes."
    rollout, _ = play(solution(SAMPLING, WRITES, 0), rest_of(text))
    assert texts(rollout) == ("", text)
    steps = steps_of(rollout.path, "\n\n")
    assert [step.text for step in steps] == ["The tag <think> opens,", "and </think> closes."]
    assert sum(step.completion_tokens or 0 for step in steps) == len(text)
    assert texts(thought("a</think>b <think> c </think> d")) == ("a", "b <think> c </think> d")


@pytest.mark.parametrize("text", ["never ends \\boxed{7}", "x" * 300])
def test_reasoning_that_never_ends_has_no_answer(text: str) -> None:
    rollout = thought(text)
    assert (texts(rollout), rollout.stop_reason) == ((text[:200], ""), "reasoning")


def test_a_solution_at_its_limit_straight_behind_the_reasoning_has_none_either() -> None:
    rollout = thought("x" * 192 + "</think>8")
    assert (texts(rollout), rollout.stop_reason) == (("x" * 192, ""), "length")


def test_reasoning_within_reasoning_belongs_to_it() -> None:
    assert texts(thought("a <think> b </think> c </think> d")) == ("a <think> b </think> c ", " d")


def test_where_marks_do_not_match_the_last_one_closes() -> None:
    assert texts(thought("a <think> b </think> 8")) == ("a <think> b ", " 8")


@pytest.mark.parametrize(
    ("thinking", "text", "parts", "stop"),
    [
        (THINKING, "It is\nQ: 7</think>It is 8.", ("It is", ""), "reasoning"),
        (WRITES, "<think>It is\nQ: 7</think>It is 8.", ("<think>It is", ""), "reasoning"),
        (WRITES, "It is 8.\nQ: 7", ("", "It is 8."), "stop"),
        (WRITES, "It <think> is 8.\nQ: 7", ("", "It <think> is 8."), "stop"),
        (THINKING, "No.</think>It is 8.\nQ: 7", ("No.", "It is 8."), "stop"),
        (THINKING, "No.</think>It is <think>8.\nQ: 7", ("No.", "It is <think>8."), "stop"),
    ],
)
def test_a_stop_string_ends_the_solution_wherever_it_stands(
    thinking: Thinking, text: str, parts: tuple[str, str], stop: str
) -> None:
    stopping = replace(SAMPLING, ends=("\nQ:",))
    rollout, _ = play(solution(stopping, thinking, 0), rest_of(text))
    assert (*texts(rollout), rollout.stop_reason) == (*parts, stop)
    assert tokens(rollout.path) == text[: text.index("\nQ:") + len("\nQ:")]


def test_an_empty_block_is_reasoning_without_text() -> None:
    rollout = thought("<think>\n\n</think>\n\n8", WRITES)
    assert texts(rollout)[1] == "\n\n8"
    assert rollout.stop_reason == "stop"


class TestBudgets:
    def test_reasoning_is_cut_at_exactly_its_budget_and_closed(self) -> None:
        rollout, asked = play(
            solution(SAMPLING, replace(THINKING, max_tokens=5), 0),
            lambda written: "8" if "</think>" in written else "abcdefghij",
        )
        assert tokens(rollout.path) == "abcde[</think>]8"
        assert texts(rollout) == ("abcde", "8")
        assert [request.sampling.max_tokens for request in asked] == [5, 195]
        assert sum(len(part.tokens) for part in rollout.path if isinstance(part, Sample)) == 6

    def test_the_recipe_words_the_ending(self) -> None:
        thinking = replace(THINKING, max_tokens=3, ending="\nTime is up.\n")
        rollout, _ = play(solution(SAMPLING, thinking, 0), lambda written: "8" if "</think>" in written else "abcdef")
        assert tokens(rollout.path) == "abc[\nTime is up.\n][</think>]8"
        assert texts(rollout) == ("abc\nTime is up.\n", "8")

    def test_reasoning_that_ends_within_its_budget_is_left_alone(self) -> None:
        assert tokens(thought("ab</think>c", replace(THINKING, max_tokens=20)).path) == "ab</think>c"

    def test_the_mark_that_opens_it_is_not_of_the_budget(self) -> None:
        script: Script = lambda written: "8" if "</think>" in written else "<think>abcdef".removeprefix(written)  # noqa: E731
        rollout, _ = play(solution(SAMPLING, replace(WRITES, max_tokens=4), 0), script)
        assert tokens(rollout.path) == "<think>abcd[</think>]8"

    def test_the_end_is_held_back_as_often_as_asked(self) -> None:
        says = {"": "a</think>x", "aWait": "b</think>x", "aWaitbWait": "c</think>x", "aWaitbWaitc</think>": "8"}
        rollout, asked = play(solution(SAMPLING, replace(THINKING, wait=2), 0), lambda written: says[written])
        assert tokens(rollout.path) == "a[Wait]b[Wait]c</think>8"
        assert texts(rollout) == ("aWaitbWaitc", "8")
        assert [len(request.path) for request in asked] == [0, 2, 4, 5]

    def test_a_text_of_ones_own_stands_where_the_end_was(self) -> None:
        thinking = replace(THINKING, wait=1, text="\nHmm, ")
        script: Script = lambda written: "8" if "</think>" in written else "ab</think>"  # noqa: E731
        assert tokens(play(solution(SAMPLING, thinking, 0), script)[0].path) == "ab[\nHmm, ]ab</think>8"

    def test_the_end_is_held_back_until_there_is_enough(self) -> None:
        script: Script = lambda written: "8" if "</think>" in written else "abcd</think>"  # noqa: E731
        rollout, _ = play(solution(SAMPLING, replace(THINKING, min_tokens=25), 0), script)
        assert tokens(rollout.path) == "abcd[Wait]abcd[Wait]abcd[Wait]abcd[Wait]abcd</think>8"

    def test_a_policy_that_writes_nothing_is_not_asked_for_ever(self) -> None:
        script: Script = lambda written: "8" if "</think>" in written else "</think>"  # noqa: E731
        rollout, asked = play(solution(SAMPLING, replace(THINKING, min_tokens=10), 0), script)
        assert (len(asked), texts(rollout)[1]) == (MOST_HELD_BACK + 2, "8")

    def test_a_budget_cuts_what_was_made_to_go_on(self) -> None:
        script: Script = lambda written: "8" if "</think>" in written else "abc</think>"  # noqa: E731
        rollout, _ = play(solution(SAMPLING, replace(THINKING, wait=9, max_tokens=11), 0), script)
        assert tokens(rollout.path) == "abc[Wait]abc</thi[</think>]8"

    def test_a_loop_ends_the_solution(self) -> None:
        looped = replace(text_sample("aaaa", SAMPLING, 1), stop_reason="repetition")
        search = solution(SAMPLING, THINKING, 0)
        next(search)
        with pytest.raises(StopIteration) as end:
            search.send([looped])
        assert (end.value.value.stop_reason, texts(end.value.value)) == ("repetition", ("aaaa", ""))


class TestHarmony:
    THINKING = Thinking(FAMILIES["harmony"], opened=False)

    def test_the_final_channel_is_the_answer(self) -> None:
        marks = FAMILIES["harmony"]
        rollout = thought(f"{marks.open}Try 7.{marks.close}8", self.THINKING, replace(SAMPLING, max_tokens=500))
        assert texts(rollout)[1] == "8"
        assert texts(rollout)[0].endswith("Try 7.")

    def test_an_answer_straight_away_has_no_mark_in_its_text(self) -> None:
        rollout = thought("<|channel|>final<|message|>8", self.THINKING)
        assert (texts(rollout)[1], rollout.stop_reason) == ("8", "stop")


class TestWithoutTokens:
    """Replies of chat endpoints."""

    @staticmethod
    def reply(text: str, thinking: Thinking = WRITES) -> Rollout:
        search = solution(SAMPLING, thinking, 0)
        next(search)
        with pytest.raises(StopIteration) as end:
            search.send([Sample(text, (), (), (), "stop", 5, shown=False, counted=40)])
        rollout: Rollout = end.value.value
        return rollout

    def test_the_reasoning_is_cut_off_the_text(self) -> None:
        rollout = self.reply("<think>Try 7.</think>It is 8.")
        assert (texts(rollout), rollout.stop_reason) == (("Try 7.", "It is 8."), "stop")
        assert [part.completion_tokens for part in rollout.path if isinstance(part, Sample)] == [40]

    def test_unfinished_reasoning_has_no_answer(self) -> None:
        rollout = self.reply("<think>Try \\boxed{7}")
        assert (texts(rollout), rollout.stop_reason) == (("Try \\boxed{7}", ""), "reasoning")

    @pytest.mark.parametrize("family", ["harmony", "magistral", "granite"])
    def test_what_an_endpoint_gives_apart_is_reasoning_whatever_the_models_marks(self, family: str) -> None:
        thinking = Thinking(FAMILIES[family], opened=False)
        whole = self.reply("<think>Try 7.</think>It is 8.", thinking)
        assert (texts(whole), whole.stop_reason) == (("Try 7.", "It is 8."), "stop")
        cut = self.reply("<think>Try \\boxed{7}", thinking)
        assert (texts(cut), cut.stop_reason) == (("Try \\boxed{7}", ""), "reasoning")
        own = self.reply(f"{FAMILIES[family].open}Try 7.{FAMILIES[family].close}It is 8.", thinking)
        assert texts(own) == ("Try 7.", "It is 8.")

    def test_an_answer_without_reasoning_stays_as_it_is(self) -> None:
        assert texts(self.reply("It is 8.")) == ("", "It is 8.")


def test_a_mark_that_shares_a_token_with_text_gives_the_text_back() -> None:
    sample = Sample("ab.", (1, 2, 9), (1, 2, 3), (-1.0,) * 3, "delimiter", 5, ended_by="</think>", is_reasoning=True)
    kept, given = without_end(sample)
    assert isinstance(kept, Sample)
    assert (kept.text, kept.tokens, given) == ("ab", (1, 2), Given(".", is_reasoning=True))


def test_without_reasoning_all_are_asked_in_one_batch() -> None:
    search = solutions(SAMPLING, None, range(3, 6))
    assert next(search) == [Generate((), index, SAMPLING) for index in (3, 4, 5)]
