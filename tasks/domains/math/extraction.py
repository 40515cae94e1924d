r"""The answer in a solution: the last `\boxed{}`, then an explicit "answer is"; leniently also the last number.

What a model thought before `</think>` is not read. Boxes side by side ("\boxed{2} and \boxed{3}") are one list.
"""

import re
from itertools import pairwise
from typing import NamedTuple

from overthink.tasks.domains.domain import Extraction
from overthink.tasks.domains.math.statements import Said, is_answer, said_value, stated_answer, without_statement

MOST_READ = 100_000  # characters; an answer is at the end
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s{0,9}")
_UNBRACED = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?|\\[A-Za-z]+(?:\{[^{}]*\}|\d)*|[A-Za-z])")
# An escaped brace is part of the answer: \{1, 2\}. The box's own brace is never escaped.
_BRACES = re.compile(r"\\[\s\S]|[{}]")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+")
_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THINKS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_END_MARK = re.compile(r"(?:</s>|<\|[\w ]{1,30}\|>|<(?:eos|end_of_turn|pad)>)$", re.IGNORECASE)
_SIDE_BY_SIDE = re.compile(
    r"(?:\s|\$|\\[()\[\],; ]|\*\*|,|;|&|\band\b|\bor\b|\\(?:text|mbox)\s?\{\s*,?\s*(?:and|or)\s*\}|\\q?quad"
    r"|\\(?:le|ri)ft|(?<![A-Za-z\\])[A-Za-z](?:_\{?\w\}?)?\s?=)*"
)


class _Box(NamedTuple):
    """A box: where it begins and ends in the text, and its content."""

    begin: int
    end: int
    content: str


def extract_answer(text: str, extraction: Extraction = "boxed", said: Said = said_value) -> str | None:
    """The answer as written, or None where the solution gives none; `said` reads what a statement of it says.

    `lenient` falls back to the last number, as the reference tools do; use it only to compare with them.
    """
    text = _read_part(text)
    answer = last_box(text, said) or stated_answer(text, said)
    if answer is None and extraction == "lenient":
        numbers = _NUMBER.findall(text)
        answer = numbers[-1].replace(",", "") if numbers else None
    return answer


def is_final(step: str) -> bool:
    """Whether a step holds the final answer, so that a search need not continue from it."""
    return "\\boxed" in step


def last_box(text: str, said: Said = said_value) -> str | None:
    """The content of the box that opens last, of those that are closed and hold an answer; one pass over the text.

    Boxes with nothing but "and", "or" or a comma between them in one line are a list.
    """
    boxes = sorted((box for box in _boxes(text) if is_answer(box.content)), key=lambda box: box.begin)
    if not boxes:
        return None
    listed = [boxes[-1]]
    for before, after in reversed(list(pairwise(boxes))):
        between = text[before.end : after.begin]
        if before.end > after.begin or len(between) > 80 or "\n" in between or not _SIDE_BY_SIDE.fullmatch(between):
            break
        listed.insert(0, before)
    return ",".join(dict.fromkeys(without_statement(box.content, said) for box in listed))


def _read_part(text: str) -> str:
    """The end of the text, after the reasoning, without the marks that end it; reasoning without end has no answer."""
    text = text[-MOST_READ:]
    text = text[max((found.end() for found in _THOUGHT.finditer(text)), default=0) :]
    if thought := _THINKS.search(text):
        text = text[: thought.start()]
    while mark := _END_MARK.search(text := text.rstrip(), max(0, len(text) - 40)):
        text = text[: mark.start()]
    return text


def _boxes(text: str) -> list[_Box]:
    """Every closed box, in the order of their closing braces."""
    opened = {found.end(): found.start() for found in _BOX.finditer(text)}
    found = [
        _Box(begin, content.end(), content[0])
        for end, begin in opened.items()
        if text[end : end + 1] != "{" and (content := _UNBRACED.match(text, end))
    ]
    open_braces: list[int] = []
    for mark in _BRACES.finditer(text) if opened else ():
        if mark[0] == "{":
            open_braces.append(mark.start())
        elif mark[0] == "}" and open_braces:
            brace = open_braces.pop()
            if brace in opened:
                found.append(_Box(opened[brace], mark.end(), text[brace + 1 : mark.start()].strip()))
    return found
