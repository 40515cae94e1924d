"""Reasoning: what thinking models write before their answer, between the marks of their family.

A mark that stands alone in backticks or quotes is text about the mark.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_QUOTES = frozenset("`\"'")


@dataclass(frozen=True)
class ReasoningMarks:
    """The texts that open and close a model's reasoning.

    `direct` begins an answer without reasoning, in families whose answers are marked too. Marks `in_words` are a plain
    sentence, so that only a text that begins with the opening one has them.
    """

    open: str
    close: str
    direct: str | None = None
    in_words: bool = False

    @property
    def nests(self) -> bool:
        """Whether reasoning may open within reasoning; blocks of marked channels follow one another."""
        return self.direct is None


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
    "granite": ReasoningMarks("Here is my thought process:", "Here is my response:", in_words=True),
}


@dataclass(frozen=True)
class Divided:
    """A solution's text: its reasoning, None where there is none, and the answer that follows, an end of the text.

    `unfinished` reasoning never ends, and has no answer.
    """

    reasoning: str | None
    answer: str
    unfinished: bool = False


def divide(text: str, marks: ReasoningMarks, opened: bool = False) -> Divided:
    """The reasoning at the beginning of a text, which the prompt has `opened`, and the answer behind it.

    Reasoning within reasoning belongs to it; where its marks do not match, the last closing mark ends it. A text that
    closes what it never opened was opened by its prompt. Behind the end of the reasoning an opening mark that begins
    the answer or a line of it opens more reasoning; other marks there are the answer's text.
    """
    begin = text.lstrip()
    if begin.startswith(marks.open):
        body = begin.removeprefix(marks.open)
    elif opened or ends_unopened(text, marks):
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
        if ends_unopened(text, marks):
            return divide(text, marks)
    return Divided(None, text)


def without_marks(text: str) -> str:
    """An answer without the marks that it names, for readers that look for marks themselves."""
    for marks in (each for each in FAMILIES.values() if not each.in_words):
        text = text.replace(marks.open, "").replace(marks.close, "")
    return text


def ends_unopened(text: str, marks: ReasoningMarks) -> bool:
    """Whether a text that opens no reasoning has the mark that ends it, as where the prompt opened it."""
    if marks.in_words or marks.close not in text:
        return False
    return any(not opening for _, opening in _marks_in(text, marks))


def _end(body: str, marks: ReasoningMarks) -> int | None:
    """Where the mark begins that closes the last block of reasoning; None where that block has none."""
    depth, end, answer = 1, None, 0
    for place, opening in _marks_in(body, marks):
        begins = not body[max(body.rfind("\n", 0, place) + 1, answer) : place].strip()
        if opening and (marks.nests if depth else begins):
            depth += 1
            end = None if begins else end
        elif not opening and depth:
            depth -= 1
            end, answer = place, place + len(marks.close)
    return end


def _marks_in(text: str, marks: ReasoningMarks) -> Iterator[tuple[int, bool]]:
    """Where each mark begins that is no quotation, and whether it opens."""
    for found in re.finditer(f"{re.escape(marks.open)}|{re.escape(marks.close)}", text):
        around = text[max(found.start() - 1, 0) : found.start()], text[found.end() : found.end() + 1]
        if around[0] != around[1] or around[0] not in _QUOTES:
            yield found.start(), found[0] == marks.open
