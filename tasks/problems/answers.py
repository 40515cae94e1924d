"""The answer in a solution: the last `\\boxed{}`, then an explicit "answer is"; leniently also the last number."""

import re
from typing import Literal

Extraction = Literal["boxed", "lenient"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_STATED = re.compile(r"\banswer\s*(?:is\b|:)\s*:?\s*(.+)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<!\d)\.(?=\s|$)|\.(?=\s+[A-Z]|\s*$)|[;\n]")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+")
MOST_READ = 100_000  # characters; an answer stands at the end


def extract_answer(text: str, extraction: Extraction = "boxed") -> str | None:
    """The answer as written, or None where the solution gives none.

    `lenient` falls back to the last number, as the reference tools do; use it only to compare with them.
    """
    text = text[-MOST_READ:]
    answer = _last_box(text) or _stated(text)
    if answer is None and extraction == "lenient":
        numbers = _NUMBER.findall(text)
        answer = numbers[-1].replace(",", "") if numbers else None
    return answer


def _last_box(text: str) -> str | None:
    for opening in reversed(list(_BOX.finditer(text))):
        content = _until_closing(text, opening.end())
        if content is not None and content.strip():
            return content.strip()
    return None


def _until_closing(text: str, begin: int) -> str | None:
    depth = 1
    for position in range(begin, len(text)):
        if text[position - 1] == "\\" and text[position - 2 : position] != "\\\\":
            continue  # an escaped brace is part of the answer: \{1, 2\}
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None


def _stated(text: str) -> str | None:
    found = _STATED.findall(text)
    if not found:
        return None
    answer = str(found[-1]).strip()
    dollars = re.match(r"\$+(.+?)\$+", answer)
    answer = dollars.group(1) if dollars else _SENTENCE_END.split(answer)[0]
    return answer.strip().strip("*").strip() or None
