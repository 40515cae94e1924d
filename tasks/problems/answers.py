"""The answer in a solution: the last `\\boxed{}`, then an explicit "answer is"; leniently also the last number."""

import re
from typing import Literal

Extraction = Literal["boxed", "lenient"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{")
_STATED = re.compile(r"\banswer\s{0,9}(?:is\b|:)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<!\d)\.(?=\s|$)|\.(?=\s+[A-Z]|\s*$)|[;\n]")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+")
MOST_READ = 100_000  # characters; an answer stands at the end


def extract_answer(text: str, extraction: Extraction = "boxed") -> str | None:
    """The answer as written, or None where the solution gives none.

    `lenient` falls back to the last number, as the reference tools do; use it only to compare with them.
    """
    text = text[-MOST_READ:]
    answer = last_box(text) or _stated(text)
    if answer is None and extraction == "lenient":
        numbers = _NUMBER.findall(text)
        answer = numbers[-1].replace(",", "") if numbers else None
    return answer


def last_box(text: str) -> str | None:
    """The content of the box that opens last, of those that are closed and not blank; one pass over the text."""
    boxes = {opening.end() for opening in _BOX.finditer(text)}
    open_braces: list[int] = []
    best, answer = -1, None
    position = 0
    while position < len(text):
        if text[position] == "\\":
            # An escaped brace is part of the answer: \{1, 2\}. The box's own brace is never escaped.
            position += 2
            continue
        if text[position] == "{":
            open_braces.append(position + 1)
        elif text[position] == "}" and open_braces:
            begin = open_braces.pop()
            content = text[begin:position].strip() if begin in boxes and begin > best else ""
            if content:
                best, answer = begin, content
        position += 1
    return answer


def _stated(text: str) -> str | None:
    statements = list(_STATED.finditer(text))
    if not statements:
        return None
    line = text[statements[-1].end() :].lstrip().removeprefix(":").lstrip().split("\n", 1)[0]
    dollars = re.match(r"\$+([^$]+)\$", line)
    answer = dollars.group(1) if dollars else _SENTENCE_END.split(line)[0]
    # A box that is empty, or cut off by the length limit, states nothing.
    return None if _BOX.search(answer) else answer.strip().strip("*").strip() or None
