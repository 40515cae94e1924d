"""Token ids back to text, with the character at which each token ends."""

from itertools import accumulate
from typing import Any

UNFINISHED = "\ufffd"  # what a decoder writes for bytes that are not yet a character


class Detokenizer:
    """Decodes whole samples at once; much cheaper than an engine's token-by-token decoding."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lengths: dict[int, int] = {}

    def decode(self, tokens: list[int]) -> tuple[str, tuple[int, ...]]:
        """The text of some tokens, special ones left out, and for each token the end of its text, ascending."""
        text = self._decode(tokens)
        lengths = [self._length(token) for token in tokens]
        ends = tuple(accumulate(lengths)) if sum(lengths) == len(text) else self._ends_in_context(tokens)
        return text, tuple(min(end, len(text)) for end in ends)

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _length(self, token: int) -> int:
        if token not in self._lengths:
            piece = self._decode([token])
            # Part of a character has no length: -1 makes the sum fail, and the context decides.
            self._lengths[token] = -1 if UNFINISHED in piece else len(piece)
        return self._lengths[token]

    def _ends_in_context(self, tokens: list[int]) -> tuple[int, ...]:
        """Ends of tokens that share characters, or whose text depends on the token before (a leading blank)."""
        ends: list[int] = []
        whole, begin = 0, 0
        for index in range(len(tokens)):
            before = tokens[begin - 1 : begin] if begin else []
            piece = self._decode([*before, *tokens[begin : index + 1]])[len(self._decode(before)) :]
            if piece.endswith(UNFINISHED) and index + 1 - begin < 8:
                ends.append(whole)
                continue
            whole, begin = whole + len(piece), index + 1
            ends.append(whole)
        return tuple(ends)
