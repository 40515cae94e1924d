"""The answer in a solution."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.domains.domain import Extraction
from overthink.tasks.domains.math.extraction import MOST_READ, extract_answer


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}.", "7"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\frac{\sqrt{3}}{2^{n}}} }", r"\frac{\sqrt{3}}{2^{n}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{[0, 1\}}", r"[0, 1\}"),
        (r"\boxed{a\\}", r"a\\"),
        (r"\boxed{a \\\} b}", r"a \\\} b"),
        (r"\boxed {7}", "7"),
        (r"\boxed{ 7 }", "7"),
        ("\\boxed{\n7\n}", "7"),
        (r"\fbox{x = 3}", "x = 3"),
        (r"\boxed{1} and \fbox{2}", "1,2"),
        (r"\boxed{3} and then \boxed{4", "3"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}"),
        (r"\boxed{6} and \boxed{}", "6"),
        (r"so we get $\boxed 7$", "7"),
        (r"\boxed\frac{1}{2}", r"\frac{1}{2}"),
        ("\\boxed{42}\n\nNote: the format is \\boxed{answer}", "42"),
        (r"\boxed{4}, written as \boxed{\text{your answer}}", "4"),
        (r"\boxed{4} or \boxed{...}", "4"),
        (r"\boxed{\infty}", r"\infty"),
        (r"\boxed{\{\}}", r"\{\}"),
        (r"\boxed{\text{The answer is } 42}", "42"),
        (r"\boxed{5} cm", "5"),
        ("\\boxed{42}<|eot_id|>", "42"),
        ("\\boxed{41} No: </think>\n\\boxed{42}", "42"),
    ],
)
def test_the_last_closed_box(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The final answer is $x$", "x"),
        ("The final answer is: $x + 1$. I hope it is correct.", "x + 1"),
        ("The final answer is $$\\frac{1}{2}$$.", r"\frac{1}{2}"),
        ("the answer is 3.5.", "3.5"),
        ("The answer is 3.5", "3.5"),
        ("The answer is 12. This holds since 12 = 3*4.", "12"),
        ("The answer is 1,200.", "1,200"),
        ("Answer: 7", "7"),
        ("answer : 7", "7"),
        ("ANSWER IS 7;", "7"),
        ("The answer is -4, as shown\nbelow", "-4"),
        ("**Answer:** 7", "7"),
        ("The final answer is **7**.", "7"),
        ("**The final answer is: 7**", "7"),
        ("The answer is 1. No: the answer is 2.", "2"),
        ("Final answer:\n42", "42"),
        ("Hence the answer is\n\\[\n18\n\\]\nwhich is even.", "18"),
        ("The answer is\n$$\nx = 5\n$$", "x = 5"),
        (r"The answer is \(\frac{1}{2}\).", r"\frac{1}{2}"),
        (r"The answer is $\$36$.", r"\$36"),
        ("The answer is $36 for 3 tickets and $12 for one.", "36"),
        ("The answer is $3$ and $4$.", "3, 4"),
        ("The answer is $28$%.", "28%"),
        (r"$\text{The answer is }42$", "42"),
        ("**Final Answer**: **73**", "73"),
        ("**Final Answer**\n\n73", "73"),
        ("## Final Answer\n\n$73$", "73"),
        ("#### 18", "18"),
        ("#### 1,234 (that many)", "1,234"),
        ("The answer is 42, since 6*7 = 42.", "42"),
        ("The answer is 42 since the answer is even.", "42"),
        ("The answer is 42. Let me check that the answer is correct: yes.", "42"),
        ("The answer is 42.\nI hope this answer is helpful!", "42"),
        ("The answer is 5 (five).", "5"),
        ("The answer is that x=4.", "x=4"),
        ("The answer is that $x=4$.", "x=4"),
        ("The answer, 42, is correct.", "42"),
        ("So the final answer, $x=4$, is right.", "x=4"),
        ("The answer is $18 and no more.", "18"),
        ("The answer is yes and no.", "yes and no"),
        ("Answer: (C)", "(C)"),
        ("The answer is option **B**.", "B"),
        ("The answer is yes, because of parity.", "yes"),
        ("The answer is 11,\\! 111,\\! 100.", "11,\\! 111,\\! 100"),
        ("The answers are 2 and 3.", "2 and 3"),
        ("The answer is `42`.</s>", "42"),
        ("<think>\\boxed{41}</think> The answer is 42.", "42"),
        ("<answer> 42 </answer>", "42"),
    ],
)
def test_a_stated_answer(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{2} and \boxed{3}", "2,3"),
        (r"$x=\boxed{2}$ or $x=\boxed{3}$.", "2,3"),
        (r"\boxed{2}, \boxed{3}, and \boxed{5}", "2,3,5"),
        (r"\boxed{7}, \boxed{7}", "7"),
        (r"First \boxed{1}, then we see \boxed{2}", "2"),
        ("\\boxed{1}\n\\boxed{2}", "2"),
    ],
)
def test_boxes_side_by_side_are_a_list(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", ["42", "42.", "$42$", "**42**", "\\[\n42\n\\]", "42.\nI hope this helps!"])
def test_a_text_that_is_nothing_but_a_value_is_that_value(text: str) -> None:
    assert extract_answer(text) == "42"


def test_a_box_goes_before_a_stated_answer() -> None:
    assert extract_answer(r"\boxed{7}. So the answer is 8.") == "7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I do not know.",
        "12 + 13 = 25",
        "boxed{7}",
        "the answers vary",
        r"\boxed{7",
        r"\boxed{}",
        "Answer:",
        "The answer is \\[",
        "the answer is **",
        "The answer is ...",
        "This answer is correct.",
        "The answer, 42, is wrong.",
        "The answer is that we cannot know.",
        "#### Step 3: add",
        "#### 1. Add",
        "<think>the answer is 41. \\boxed{41}",
        "La respuesta es 42.",
    ],
)
def test_no_answer_is_none(text: str) -> None:
    assert extract_answer(text) is None


@pytest.mark.parametrize("text", [r"The final answer is: $\boxed{}$.", r"The final answer is $\boxed{1"])
def test_an_empty_or_cut_off_box_is_not_itself_the_stated_answer(text: str) -> None:
    assert extract_answer(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12 + 13 = 25", "25"),
        ("it costs $1,234,567 in all", "1234567"),
        ("about 3/4 of it", "3/4"),
        ("equals 2.50.", "2.50"),
        ("between 1 and -7.", "-7"),
        ("x = -.5", "-.5"),
        ("first 8, then 9,", "9"),
    ],
)
def test_leniently_the_last_number(text: str, answer: str) -> None:
    assert (extract_answer(text, "lenient"), extract_answer(text, "boxed")) == (answer, None)


def test_lenient_still_prefers_a_box_and_a_stated_answer() -> None:
    texts = (r"\boxed{7} 8", "The answer is 7.\n8")
    assert [extract_answer(text, "lenient") for text in texts] == ["7", "7"]


def test_lenient_without_a_number_is_none() -> None:
    assert extract_answer("no idea", "lenient") is None


PIECES = st.sampled_from(
    ["\\boxed{", "\\fbox {", "{", "}", "\\", "$", "answer is ", "Answer:", "*", ".", "\n", "7", ",", "1/2", " "]
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    text=st.one_of(st.text(), st.lists(PIECES).map("".join), st.text(st.characters(categories=["Cs", "Nd", "P"]))),
    extraction=st.sampled_from(["boxed", "lenient"]),
)
def test_any_text_gives_none_or_an_answer_that_is_not_blank(text: str, extraction: Extraction) -> None:
    answer = extract_answer(text, extraction)
    assert answer is None or answer == answer.strip() != ""


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "}" * 100_000,
        "\\boxed{" * 100_000,
        "\\boxed{" + "{" * (MOST_READ - 10),
        "\\" * 100_000,
        "$" * 100_000,
        "the answer is " * 10_000,
        "the answer is" + "\n" * (MOST_READ - 20),
        "the answer" + " " * (MOST_READ - 20),
        "the answer is " + "." * (MOST_READ - 20),
        "the answer is $" + "x" * (MOST_READ - 20),
        "the answer is 7" + ". " * (MOST_READ // 2 - 20),
        "1," * 50_000,
        "-" * 100_000,
    ],
    ids=lambda text: f"{text[:18]!r} to {len(text)}",
)
def test_long_text_is_fast(text: str) -> None:
    with within(10):
        extract_answer(text, "lenient")


def test_an_answer_at_the_end_of_a_long_text_is_found() -> None:
    assert extract_answer("x" * (2 * MOST_READ) + r"\boxed{7}") == "7"
