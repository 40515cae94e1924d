"""Steps of a sample: texts, tokens and log-probabilities."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.records import Sample, Step, split_steps


def sample_of(text: str, ends: list[int], logprobs: list[float]) -> Sample:
    return Sample(text, tuple(range(len(ends))), tuple(ends), tuple(logprobs), "stop", 0)


def by_character(text: str) -> Sample:
    return sample_of(text, list(range(1, len(text) + 1)), [-1.0] * len(text))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    text = "".join(draw(st.lists(st.sampled_from(["a", "b c", "\n", "\n\n", " ", "é\U0001f600"]), max_size=12)))
    inner = draw(st.lists(st.integers(0, len(text)), max_size=10).map(sorted))
    ends = [*inner, len(text), *[len(text)] * draw(st.integers(0, 2))]  # special tokens add no characters
    logprobs = draw(st.lists(st.floats(-50, 0), min_size=len(ends), max_size=len(ends)))
    return sample_of(text, ends, logprobs)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(sample=samples(), delimiter=st.sampled_from(["\n\n", "\n", " c"]))
def test_steps_add_up_to_the_sample(sample: Sample, delimiter: str) -> None:
    steps = split_steps(sample, delimiter)
    if not sample.text.replace(delimiter, "").strip():
        assert steps == []
        return
    assert sum(step.completion_tokens for step in steps) == len(sample.tokens)
    assert math.fsum(step.logprob_sum for step in steps) == pytest.approx(math.fsum(sample.logprobs), abs=1e-9)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(sample=samples())
def test_steps_are_the_pieces_that_are_not_blank_stripped(sample: Sample) -> None:
    pieces = [piece.strip() for piece in sample.text.split("\n\n") if piece.strip()]
    assert [step.text for step in split_steps(sample, "\n\n")] == pieces


def test_delimiter_tokens_count_for_the_step_before() -> None:
    steps = split_steps(by_character("ab\n\ncde"), "\n\n")
    assert steps == [Step("ab", 4, -4.0), Step("cde", 3, -3.0)]


def test_a_token_across_the_boundary_belongs_to_the_step_where_it_begins() -> None:
    steps = split_steps(sample_of("ab\n\ncd", [1, 5, 6], [-1.0, -2.0, -4.0]), "\n\n")
    assert steps == [Step("ab", 2, -3.0), Step("cd", 1, -4.0)]


def test_tokens_of_blank_pieces_count_for_the_step_before() -> None:
    steps = split_steps(by_character("a\n\n \n\n\n\nb\n\n"), "\n\n")
    assert steps == [Step("a", 8, -8.0), Step("b", 3, -3.0)]


def test_tokens_before_the_first_step_count_for_it() -> None:
    assert split_steps(by_character("\n\n a"), "\n\n") == [Step("a", 4, -4.0)]


def test_a_token_that_spans_whole_steps_leaves_them_without_tokens() -> None:
    steps = split_steps(sample_of("a\n\nb\n\nc", [7], [-1.0]), "\n\n")
    assert [step.completion_tokens for step in steps] == [1, 0, 0]


def test_an_end_token_without_text_counts_for_the_last_step() -> None:
    steps = split_steps(sample_of("a\n\nb", [1, 3, 4, 4], [-1.0, -1.0, -1.0, -8.0]), "\n\n")
    assert steps == [Step("a", 2, -2.0), Step("b", 2, -9.0)]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\n\n \n\n"])
def test_blank_text_has_no_steps(text: str) -> None:
    assert split_steps(by_character(text), "\n\n") == []


def test_windows_line_ends_are_no_delimiter() -> None:
    assert [step.text for step in split_steps(by_character("a\r\n\r\nb"), "\n\n")] == ["a\r\n\r\nb"]
