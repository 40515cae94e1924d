"""Where a call ends: the tokens that contain a stop string, the tokens of a mark, and which of them came first."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from overthink.tasks.engines.chat import encode_given
from overthink.tasks.records import Sampling

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class End:
    """The end that came first: `by` which stop string or mark, where in the text it begins, and the tokens up to it."""

    by: str
    begin: int
    tokens: int


@dataclass(frozen=True)
class EndTokens:
    """What ends a call: an engine stops at one of `ids`, or at one of `texts`, which no single token contains.

    `stops` are found in the text, wherever their characters come from; `marks` only as their tokens.
    """

    ids: list[int]
    texts: tuple[str, ...]
    stops: tuple[str, ...]
    marks: dict[str, Tokens]

    def is_part_of_mark(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens end as a mark of several tokens does, without being it."""
        several = [mark for mark in self.marks.values() if len(mark) > 1]
        ends_like_one = bool(tokens) and any(tokens[-1] == mark[-1] for mark in several)
        return ends_like_one and not any(_ends_with(tokens, mark) for mark in self.marks.values())

    def begun_marks(self, tokens: Sequence[int]) -> int:
        """How many of the last tokens are the beginning of a mark that is cut off."""
        lengths = [
            count for mark in self.marks.values() for count in range(1, len(mark)) if _ends_with(tokens, mark[:count])
        ]
        return max(lengths, default=0)

    def first(self, tokens: Sequence[int], text: str, token_ends: Sequence[int]) -> End | None:
        """The first end in what was written; None where there is none."""
        places = {stop: text.find(stop) for stop in self.stops}
        found = [End(stop, at, _tokens_to(at + len(stop), token_ends)) for stop, at in places.items() if at >= 0]
        for mark, ids in self.marks.items():
            index = _place(tokens, ids)
            if index is not None:
                found.append(End(mark, token_ends[index - 1] if index else 0, index + len(ids)))
        return min(found, key=lambda end: (end.begin, end.tokens), default=None)


class Ends:
    """The ends of calls in the tokens of one vocabulary.

    Stopping at tokens is much cheaper for an engine than matching text. A stop string across several tokens does
    not stop the engine, and is found afterwards; with a token for a blank line this is very rare.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_vocab()
        self._with: dict[str, Tokens] = {}
        self._known: dict[tuple[Tokens | tuple[str, ...], ...], EndTokens] = {}

    def of(self, sampling: Sampling) -> EndTokens:
        """The ends that `sampling` asks for."""
        asked = ((*sampling.stop, *sampling.ends), sampling.marks)
        if asked not in self._known:
            self._known[asked] = self._find(*asked)
        return self._known[asked]

    def tokens_with(self, stop: str) -> Tokens:
        """The ids of all tokens whose text holds `stop`, ascending; empty where there is none."""
        if stop not in self._with:
            pieces = self._tokenizer.batch_decode([[token] for token in range(len(self._tokenizer))])
            self._with[stop] = tuple(token for token, piece in enumerate(pieces) if stop in piece)
        return self._with[stop]

    def _find(self, stops: tuple[str, ...], marks: tuple[str, ...]) -> EndTokens:
        own = {mark: tokens for mark in marks if (tokens := self._own_tokens(mark)) is not None}
        in_text = (*stops, *(mark for mark in marks if mark not in own))
        ids = [token for stop in in_text for token in self.tokens_with(stop)]
        ids += [mark[-1] for mark in own.values()]
        texts = tuple(stop for stop in in_text if not self.tokens_with(stop))
        return EndTokens(list(dict.fromkeys(ids)), texts, in_text, own)

    def _own_tokens(self, mark: str) -> Tokens | None:
        """The tokens of a mark that the vocabulary has tokens for; None where it is written like any text."""
        ids = tuple(encode_given(self._tokenizer, mark))
        return ids if any(token in self._added.values() for token in ids) else None


def _tokens_to(end: int, token_ends: Sequence[int]) -> int:
    return min(bisect_left(token_ends, end) + 1, len(token_ends))


def _place(tokens: Sequence[int], mark: Tokens) -> int | None:
    """Where the mark's tokens begin; None where they are not there."""
    return next((at for at in range(len(tokens)) if tuple(tokens[at : at + len(mark)]) == mark), None)


def _ends_with(tokens: Sequence[int], mark: Tokens) -> bool:
    return tuple(tokens[-len(mark) :]) == mark
