"""Reasoning in texts alone: what is reasoning, what is the answer in it by mathematics, and which steps follow it.

`⟨` and `⟩` stand for a family's marks, and each case that does not belong to one family is held for all of them.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.importers.imported import steps_in
from overthink.tasks.reasoning_marks import FAMILIES, ReasoningMarks, divide, divide_by_any, ends_unopened
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.records import Problem

NESTED = [name for name, marks in FAMILIES.items() if marks.nests]
GRADER = Grader(MATH, GradingConfig())
ASKED = Problem("key", "id", "What is x?", None)
ALONE = [name for name, marks in FAMILIES.items() if not marks.in_words]  # their closing marks tell by themselves


@dataclass(frozen=True)
class TextCase:
    """A text, the answer in what follows its reasoning, and the steps of that; `opened` is said of its prompt."""

    text: str
    answer: str | None
    steps: tuple[str, ...] = ()
    opened: bool = False
    families: tuple[str, ...] = tuple(FAMILIES)
    reasoning: str | None = None


ONE_LINE = "⟨ Try 7: \\boxed{7}? no. ⟩ The answer is **8**."
WHOLE = {
    "in one line": TextCase(ONE_LINE, "8", ("The answer is **8**.",)),
    "in lines": TextCase("⟨\nTry \\boxed{7}.\n⟩\n\nSo.\n\n\\boxed{8}", "8", ("So.", "\\boxed{8}")),
    "blank lines within": TextCase("⟨\na\n\nb \\boxed{7}\n\nc\n⟩\n\n\\boxed{8}", "8", ("\\boxed{8}",)),
    "whitespace before": TextCase(" \n\t⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "no whitespace": TextCase("⟨\\boxed{7}⟩\\boxed{8}", "8", ("\\boxed{8}",)),
    "an answer in words within": TextCase("⟨ The answer is 7. ⟩ The answer is 8.", "8", ("The answer is 8.",)),
    "an answer within alone": TextCase("⟨ \\boxed{7} ⟩ I do not know.", None, ("I do not know.",)),
    "a box that begins within": TextCase("⟨ \\boxed{7 ⟩ and 8}", None, ("and 8}",)),
    "a fence within": TextCase("⟨ ```\n\\boxed{7}\n``` ⟩\n```\n\\boxed{8}\n```", "8", ("```\n\\boxed{8}\n```",)),
    "empty block": TextCase("⟨⟩\\boxed{8}", "8", ("\\boxed{8}",), reasoning=""),
    "empty lines": TextCase("⟨\n\n⟩\n\n\\boxed{8}", "8", ("\\boxed{8}",), reasoning="\n\n"),
    "only reasoning": TextCase("⟨ so \\boxed{7} ⟩", None, (), reasoning=" so \\boxed{7} "),
    "only reasoning and lines": TextCase("⟨ \\boxed{7} ⟩\n\n \n", None),
    "many steps": TextCase("⟨ a ⟩ b\n\nc\n\n\\boxed{8}", "8", ("b", "c", "\\boxed{8}")),
    "unicode": TextCase("⟨ zähle: 七 🙂 ⟩ Es ist \\boxed{8}", "8", ("Es ist \\boxed{8}",), reasoning=" zähle: 七 🙂 "),
}
UNFINISHED = {
    "cut off": TextCase("⟨ Try 7: \\boxed{7}? no, it", None),
    "cut off behind an answer": TextCase("⟨ The answer is 7.\n\nWait", None),
    "cut off at once": TextCase("⟨", None, reasoning=""),
    "cut off in lines": TextCase("⟨\n\n\\boxed{7}\n\n", None, reasoning="\n\n\\boxed{7}\n\n"),
    "cut off where the prompt opened it": TextCase("Try \\boxed{7}? no, it", None, opened=True),
    "nothing where the prompt opened it": TextCase("", None, opened=True, reasoning=""),
    "opened by both": TextCase("⟨ \\boxed{7}", None, opened=True),
    "cut off within a mark": TextCase("⟨ \\boxed{7} <", None),
}
OPENED = {
    "opened by the prompt": TextCase("Try \\boxed{7}.\n⟩\n\n\\boxed{8}", "8", ("\\boxed{8}",), opened=True),
    "opened by the prompt, unsaid": TextCase(
        "\\boxed{7}?\n⟩\n\n\\boxed{8}", "8", ("\\boxed{8}",), families=tuple(ALONE)
    ),
    "opened by the prompt and the text": TextCase("\n⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",), opened=True),
    "closed at once": TextCase("⟩ \\boxed{8}", "8", ("\\boxed{8}",), opened=True, reasoning=""),
    "words before the block": TextCase("Sure! ⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",), families=tuple(ALONE)),
}
NESTING = {
    "nested": TextCase("⟨ a ⟨ b \\boxed{7} ⟩ c \\boxed{6} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "nested twice": TextCase("⟨⟨⟨ \\boxed{7} ⟩ \\boxed{6} ⟩ \\boxed{5} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "nested, one end": TextCase("⟨ a ⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "nested, cut off": TextCase("⟨ a ⟨ b \\boxed{7}", None),
    "nested where the prompt opened it": TextCase("a ⟨ \\boxed{7} ⟩ b ⟩ \\boxed{8}", "8", ("\\boxed{8}",), opened=True),
    "several blocks": TextCase("⟨ \\boxed{6} ⟩\n⟨ \\boxed{7} ⟩\n\\boxed{8}", "8", ("\\boxed{8}",)),
    "several blocks in one line": TextCase("⟨ a ⟩ ⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "words between blocks": TextCase("⟨ a ⟩ Let me see.\n\n⟨ \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "a second block, cut off": TextCase("⟨ a ⟩ \\boxed{6}\n\n⟨ Wait, \\boxed{7}", None),
    "a second block, nested": TextCase("⟨ a ⟩ so\n⟨ b ⟨ \\boxed{7} ⟩ c ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
}
PLAIN = {
    "quoted within": TextCase("⟨ The mark `⟩` ends it. \\boxed{7} ⟩ \\boxed{8}", "8", ("\\boxed{8}",)),
    "quoted opening within": TextCase('⟨ A "⟨" opens. ⟩ \\boxed{8}, as `⟩` ends.', "8", ("\\boxed{8}, as `⟩` ends.",)),
    "quoted alone": TextCase("One writes `⟩`. \\boxed{8}", "8", ("One writes `⟩`. \\boxed{8}",)),
    "quoted alone, both": TextCase("`⟨` opens, `⟩` ends. \\boxed{8}", "8", ("`⟨` opens, `⟩` ends. \\boxed{8}",)),
    "closing mark in the answer": TextCase(
        "⟨ a ⟩ \\boxed{8}, and ⟩ is a mark.", "8", ("\\boxed{8}, and ⟩ is a mark.",)
    ),
    "opening mark in the answer": TextCase(
        "⟨ a ⟩ The mark ⟨ opens. \\boxed{8}", "8", ("The mark ⟨ opens. \\boxed{8}",)
    ),
    "both marks in the answer": TextCase("⟨ a ⟩ See ⟨ and ⟩: \\boxed{8}", "8", ("See ⟨ and ⟩: \\boxed{8}",)),
    "marks behind the answer": TextCase("⟨ a ⟩ \\boxed{8} (not ⟨)", "8", ("\\boxed{8} (not ⟨)",)),
    "half a mark": TextCase("⟨ a </thin \\boxed{7} ⟩ \\boxed{8} </thin", "8", ("\\boxed{8} </thin",)),
    "no marks": TextCase("So.\n\n\\boxed{8}", "8", ("So.", "\\boxed{8}")),
    "no text": TextCase("", None),
}
OWN = {
    "channels, several": TextCase(
        "⟨a \\boxed{6}<|end|><|start|>assistant⟨b \\boxed{7}⟩\\boxed{8}", "8", ("\\boxed{8}",), families=("harmony",)
    ),
    "channels, a call between": TextCase(
        "⟨a<|end|><|start|>assistant<|channel|>commentary<|message|>{\\boxed{7}}<|call|><|start|>assistant⟨b⟩\\boxed{8}",
        "8",
        ("\\boxed{8}",),
        families=("harmony",),
    ),
    "channels, the answer alone": TextCase(
        "<|channel|>final<|message|>So.\n\n\\boxed{8}", "8", ("So.", "\\boxed{8}"), families=("harmony",)
    ),
    "channels, cut off between": TextCase("⟨\\boxed{7}<|end|><|start|>assistant", None, families=("harmony",)),
    "channels, the end of the turn": TextCase(
        "⟨\\boxed{7}⟩\\boxed{8}<|return|>", "8", ("\\boxed{8}<|return|>",), families=("harmony",)
    ),
    "a sentence that others write": TextCase(
        "It is \\boxed{8}. ⟩ is what Granite says.",
        "8",
        ("It is \\boxed{8}. ⟩ is what Granite says.",),
        families=("granite",),
    ),
}
GROUPS = (
    (WHOLE, FAMILIES),
    (UNFINISHED, FAMILIES),
    (OPENED, FAMILIES),
    (NESTING, NESTED),
    (PLAIN, FAMILIES),
    (OWN, FAMILIES),
)
CASES = [
    pytest.param(case, name, id=f"{name}: {title}")
    for cases, names in GROUPS
    for title, case in cases.items()
    for name in names
    if name in case.families
]


def spelled(text: str, marks: ReasoningMarks) -> str:
    return text.replace("⟨", marks.open).replace("⟩", marks.close)


@pytest.mark.parametrize(("case", "family"), CASES)
def test_the_answer_follows_the_reasoning(case: TextCase, family: str) -> None:
    marks = FAMILIES[family]
    text = spelled(case.text, marks)
    found = divide(text, marks, case.opened)
    assert GRADER.extract(ASKED, found.answer, divided=True) == case.answer
    assert [step.text for step in steps_in(found.answer)] == [spelled(step, marks) for step in case.steps]
    assert text.endswith(found.answer)
    assert found.answer == "" or not found.unfinished
    if case.reasoning is not None:
        assert found.reasoning == case.reasoning
    if not case.opened:
        assert divide_by_any(text) == found, "without the family's name it is the same"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_cut_off_anywhere_inside_its_reasoning_has_no_answer(family: str) -> None:
    marks = FAMILIES[family]
    text = spelled("⟨ Try 7: \\boxed{7}? The answer is 7. \\fbox{7} no. ⟩", marks)
    for length in range(len(marks.open), len(text)):
        found = divide(text[:length], marks)
        assert (found.unfinished, found.answer, GRADER.extract(ASKED, found.answer)) == (True, "", None), text[:length]


def test_there_are_more_than_forty_cases() -> None:
    assert len({case.values[0].text for case in CASES}) > 40  # type: ignore[attr-defined]
    assert len(CASES) > 300


PIECES = st.lists(st.sampled_from(["⟨", "⟩", "\n", " ", "a", "`", "\\boxed{7}", "<"]), max_size=12).map("".join)


@settings(deadline=None, derandomize=True)
@given(text=PIECES, family=st.sampled_from(sorted(FAMILIES)), opened=st.booleans())
def test_nothing_is_lost_or_said_twice(text: str, family: str, opened: bool) -> None:
    marks = FAMILIES[family]
    text = spelled(text, marks)
    found = divide(text, marks, opened)
    begins = text.lstrip().startswith(marks.open)
    body = text.lstrip().removeprefix(marks.open) if begins else text
    end = "" if found.unfinished or found.reasoning is None else marks.close
    assert (found.reasoning or "") + end + found.answer == body
    assert (found.reasoning is None) == (not begins and not opened and not ends_unopened(text, marks))
