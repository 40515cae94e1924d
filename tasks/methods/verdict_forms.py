"""Where a text says its verdict: the last one that it gives, and nothing where it gives none."""

import re
from dataclasses import dataclass
from functools import cached_property

_CLOSING = re.compile(r"</?\w+>|[\W_]")  # tags and marks, which may follow a last word
_ALONE = r"(?![^\W_])(?=_*[ \t]*(?:$|[^\w\s/|]))"  # a word that ends its line, or is followed by a mark
_FLAGS = re.IGNORECASE | re.MULTILINE


@dataclass(frozen=True)
class SaidVerdict:
    """A verdict in a text: whether it says right, its word, and the characters where what leads to it and it begin."""

    is_right: bool
    word: str
    lead: int
    begin: int


@dataclass(frozen=True)
class VerdictForm:
    """How a verdict is said: a pattern that leads to one of two words, for right and for wrong.

    `example` is such a text, with {} for the word. The word ends its line or is followed by a mark, so that "No errors
    were found" is no verdict, nor is "Yes/No"; nor is "Yes, or No?", where the other word follows on the line.
    `synonyms` are read as the words.
    """

    lead: str
    example: str
    words: tuple[str, str] = ("Yes", "No")
    synonyms: tuple[str, str] | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Lead and word, in any case."""
        return re.compile(rf"(?:{self.lead})(?P<word>{self._spelled(True)}|{self._spelled(False)})(?![^\W_])", _FLAGS)

    def read(self, text: str, is_whole: bool, since: int = 0) -> SaidVerdict | None:
        """The last verdict of a text whose word stands behind `since` characters, None where there is none.

        A text that is not `is_whole`, because a limit cut it off, has one only where nothing but marks follows it:
        what was said on the way is not the last word.
        """
        found = [one for one in self.pattern.finditer(text) if one.start("word") >= since]
        if not found:
            return None
        word, end = found[-1]["word"], found[-1].end()
        is_right = re.fullmatch(self._spelled(True), word, _FLAGS) is not None
        if not self._is_decided(text, end, is_right) or (not is_whole and _CLOSING.sub("", text[end:])):
            return None
        return SaidVerdict(is_right, word, found[-1].start(), end - len(word))

    def other(self, said: SaidVerdict) -> str:
        """The other word, in the case of the one that was said."""
        word = self.words[1 if said.is_right else 0]
        for spelled in (str.lower, str.upper, str.capitalize):
            if said.word == spelled(said.word):
                return spelled(word)
        return word

    def _is_decided(self, text: str, end: int, is_right: bool) -> bool:
        """Whether the word that ends there stands alone; "Yes, no errors" does, "Yes, no, maybe" does not."""
        if not re.compile(_ALONE, _FLAGS).match(text, end):
            return False
        line, other = text[end:].partition("\n")[0], self._spelled(not is_right)
        return not re.search(rf"\bor\W+(?:{other})\b|(?<![^\W_])(?:{other}){_ALONE}", line, _FLAGS)

    def _spelled(self, is_right: bool) -> str:
        """A pattern of the words for right, or for wrong."""
        return "|".join(re.escape(pair[not is_right]) for pair in (self.words, self.synonyms) if pair)
