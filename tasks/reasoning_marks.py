"""Reasoning: what thinking models write before their answer, between the marks of their family."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ReasoningMarks:
    """The texts that open and close a model's reasoning.

    `direct` begins an answer without reasoning, in families whose answers are marked too.
    """

    open: str
    close: str
    direct: str | None = None

    @property
    def nests(self) -> bool:
        """Whether reasoning may open within reasoning; blocks of marked channels follow one another."""
        return self.direct is None

    def depth_of(self, text: str) -> int:
        """How many times a text opens reasoning within reasoning more often than it closes it."""
        return text.count(self.open) - text.count(self.close) if self.nests else 0


# By the models' own names for them, the likeliest first, as a tokenizer is searched for them.
FAMILIES: Mapping[str, ReasoningMarks] = {
    # Qwen3, QwQ, DeepSeek-R1 and its distills, Phi-4-reasoning, EXAONE 4, GLM 4.5, Hunyuan, Nemotron
    "think": ReasoningMarks("<think>", "</think>"),
    "harmony": ReasoningMarks(  # gpt-oss
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|channel|>final<|message|>",
    ),
    "magistral": ReasoningMarks("[THINK]", "[/THINK]"),
    "exaone": ReasoningMarks("<thought>", "</thought>"),  # EXAONE Deep
    "seed": ReasoningMarks("<seed:think>", "</seed:think>"),  # Seed-OSS
    "kimi": ReasoningMarks("◁think▷", "◁/think▷"),
    "granite": ReasoningMarks("Here is my thought process:", "Here is my response:"),
}


@dataclass(frozen=True)
class Divided:
    """A solution's text: its reasoning, None where there is none, and the answer that follows.

    `unfinished` reasoning never ends, and has no answer.
    """

    reasoning: str | None
    answer: str
    unfinished: bool = False


def divide(text: str, marks: ReasoningMarks, opened: bool = False) -> Divided:
    """The reasoning at the beginning of a text, which the prompt has `opened`, and the answer behind it.

    Reasoning within reasoning belongs to it; where its marks do not match, the last closing mark ends it. A text that
    closes what it never opened was opened by its prompt. Marks behind the end of the reasoning are the answer's text.
    """
    begin = text.lstrip()
    if begin.startswith(marks.open):
        body = begin.removeprefix(marks.open)
    elif opened or marks.close in text:
        body = text
    else:
        return Divided(None, begin.removeprefix(marks.direct) if marks.direct else text)
    end = _end(body, marks)
    if end is None:
        return Divided(body, "", unfinished=True)
    return Divided(body[:end], body[end + len(marks.close) :])


def divide_by_any(text: str, families: Iterable[ReasoningMarks] = tuple(FAMILIES.values())) -> Divided:
    """`divide` by the first family whose marks the text has: it begins with one, or closes what its prompt opened."""
    found = list(families)
    begin = text.lstrip()
    for marks in found:
        if begin.startswith(tuple(mark for mark in (marks.open, marks.direct) if mark)):
            return divide(text, marks)
    for marks in found:
        if marks.close in text:
            return divide(text, marks)
    return Divided(None, text)


def _end(body: str, marks: ReasoningMarks) -> int | None:
    """Where the closing mark of the reasoning begins; None where it has none."""
    at = body.find(marks.close)
    last = None
    while at >= 0:
        if marks.depth_of(body[:at]) <= 0:
            return at
        last, at = at, body.find(marks.close, at + len(marks.close))
    return last
