"""Where a critique says its verdict: the last one that it gives, and nothing where it gives none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_STEP = re.compile(r"\bstep\s+(\d+)\s*[*_]*:", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(correct|incorrect)\s*\}", re.IGNORECASE)
_CLOSING = re.compile(r"</?\w+>|[\W_]")  # tags and marks, which may follow a last word


@dataclass(frozen=True)
class SaidVerdict:
    """A verdict in a text: whether it says right, its word, and the characters where what leads to it and it begin."""

    is_right: bool
    word: str
    lead: int
    begin: int


@dataclass(frozen=True)
class VerdictForm:
    """How a family says its verdict: a pattern that leads to one of two words, for right and for wrong.

    `example` is such a text, with {} for the word. The word ends its line or is followed by a mark, so that "No errors
    were found" is no verdict, nor is "Yes/No".
    """

    lead: str
    example: str
    words: tuple[str, str] = ("Yes", "No")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Lead and word, in any case."""
        either = "|".join(map(re.escape, self.words))
        flags = re.IGNORECASE | re.MULTILINE
        return re.compile(rf"(?:{self.lead})(?P<word>{either})(?=[ \t]*(?:$|[^\w\s/|]))", flags)

    def read(self, text: str, is_whole: bool) -> SaidVerdict | None:
        """The last verdict of a text, None where there is none.

        A text that is not `is_whole`, because a limit cut it off, has one only where nothing but marks follows it:
        what was said on the way is not the last word.
        """
        found = list(self.pattern.finditer(text))
        if not found:
            return None
        word, end = found[-1]["word"], found[-1].end()
        if not is_whole and _CLOSING.sub("", text[end:]):
            return None
        return SaidVerdict(word.lower() == self.words[0].lower(), word, found[-1].start(), end - len(word))

    def other(self, said: SaidVerdict) -> str:
        """The other word, in the case of the one that was said."""
        word = self.words[1 if said.is_right else 0]
        for spelled in (str.lower, str.upper, str.capitalize):
            if said.word == spelled(said.word):
                return spelled(word)
        return word


def step_verdicts(text: str, count: int) -> list[bool | None]:
    r"""What a critique of a whole solution says of each of its `count` steps, None where it does not say.

    Under a heading "Step 2:" the last \boxed{correct} or \boxed{incorrect} is the verdict. Behind a wrong step the
    solution is wrong, whatever is said of later ones.
    """
    said: dict[int, bool] = {}
    _, *pieces = _STEP.split(text)
    for number, judged in zip(pieces[::2], pieces[1::2], strict=True):
        words = _BOXED.findall(judged)
        if words:
            said[int(number)] = words[-1].lower() == "correct"
    verdicts: list[bool | None] = []
    for number in range(1, count + 1):
        verdicts.append(False if False in verdicts else said.get(number))
    return verdicts


def mean(scores: Sequence[float | None]) -> float | None:
    """The mean of the known ones, None where all are unknown."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
