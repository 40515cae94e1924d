"""The domain of texts: an answer in words, right where it is the reference but for its form."""

import re
import unicodedata
from dataclasses import replace
from typing import Any, ClassVar

from overthink.tasks.domains.answer_tags import MOST_READ, last_tag
from overthink.tasks.domains.domain import Extraction, PlainDomain, Reason, Verdict
from overthink.tasks.domains.math.extraction import extract_answer
from overthink.tasks.domains.stated_words import said_words
from overthink.tasks.reasoning_marks import divide_by_any
from overthink.tasks.records import Problem

BOXED = "Please reason step by step, and put your final answer, as short as it can be, within \\boxed{}."
_ARTICLE = re.compile(r"\b(?:a|an|the) (?=\S)")  # not where it is the last word, as in "vitamin A"
_IN_NUMBERS = re.compile(r"(?<=\d)[.,:/](?=\d)|(?<!\w)-(?=\.?\d)|(?<!\d)\.(?=\d)|(?<=\d)%")
_SHARE = re.compile(r"(?<=\d)\s+%")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\{([^{}]*)\}")


class Wording(PlainDomain):
    """Answers in words, equal where nothing but their form differs; see `normalised`."""

    name: ClassVar[str] = "text"
    version: ClassVar[int] = 1
    instruction: ClassVar[str] = BOXED

    def posed(self, problem: Problem, answer: Any) -> Problem:
        """The problem with a line in its reference for each answer that is right, where the data list several."""
        if not isinstance(answer, list | tuple):
            return problem
        if not all(isinstance(one, str | int | float) and str(one).strip() for one in answer):
            raise ValueError(f"its answers {answer!r} are not all texts or numbers")
        return replace(problem, reference="\n".join(" ".join(str(one).split()) for one in answer))

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        """What stands in the last tag, box or statement; where all is one line, `lenient` takes it for the answer."""
        text = divide_by_any(text[-MOST_READ:]).answer.strip()
        found = last_tag(text) or extract_answer(text, extraction, said_words)
        if found is None and extraction == "lenient" and text and "\n" not in text:
            return text
        return found

    def key(self, answer: str) -> str:
        """The answer without what is form alone."""
        return normalised(answer)

    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        """Equal to one of the right answers."""
        right = {normalised(one) for one in str(problem.reference).split("\n")}
        return ("equal" if normalised(answer) in right else "different"), None


def normalised(text: str) -> str:
    """A text in NFKC and lower case, without punctuation, articles and white space around and between its words.

    Dashes and slashes part words. What belongs to a number stays: its sign, point, comma, colon, and a per cent sign.
    What would be nothing stays as it is.
    """
    folded = _folded(_SHARE.sub("%", _TEXT_COMMAND.sub(r"\1", text)))
    kept = {found.start() for found in _IN_NUMBERS.finditer(folded)}
    bare = "".join(letter if place in kept else _plain(letter) for place, letter in enumerate(folded))
    words = _ARTICLE.sub("", " ".join(bare.split()))
    return words or " ".join(folded.split())


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).replace("\N{MINUS SIGN}", "-")


def _plain(letter: str) -> str:
    """A letter; of punctuation a blank where it parts words, and nothing else."""
    if not unicodedata.category(letter).startswith("P"):
        return letter
    return " " if letter == "/" or unicodedata.category(letter) == "Pd" else ""
