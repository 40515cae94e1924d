"""Functions that are given by cases, and systems of equations that are written like them."""

from overthink.tasks.domains.math.lexing import Token, Unreadable
from overthink.tasks.domains.math.splitting import Tokens, enclosed, split, text_of
from overthink.tasks.domains.math.values import Answer, Cases, Ordered, Read, Unordered, Value

_CASES = ("begin{cases}", "begin{dcases}", "begin{rcases}")
_IF = ("if", "for", "when", "where")
OTHERWISE = (Token("word", "otherwise", prose=True),)


def cases(tokens: Tokens, read: Read) -> Value | None:
    """What a function is, by conditions; or the equations of a system, as a list."""
    if tokens[0].text not in _CASES or not enclosed(tokens):
        return None
    rows = [row for row in split(tokens[1:-1], ("newline",))[0] if row]
    pieces = [_piece(row) for row in rows]
    if all(len(piece) == 1 for piece in pieces):
        return Unordered(tuple(read(piece[0]) for piece in pieces))
    if any(len(piece) != 2 for piece in pieces):
        raise Unreadable("cases that are not all values with a condition")
    return Cases(tuple(Answer(Ordered("", tuple(map(read, piece)), "")) for piece in pieces))


def _piece(row: Tokens) -> list[Tokens]:
    """A value and its condition, or the one thing that a row says, without commas and words such as "if"."""
    parts: list[Tokens] = [part for part in split(row, ("&",))[0] if part]
    if len(parts) == 1:
        parts = [part for part in split(row, (",", *_IF))[0] if part]
    stripped = [[token for token in part if token.text not in (",", ".", ";", *_IF)] for part in parts]
    return [OTHERWISE if text_of(part) in ("else", "otherwise") else part for part in stripped]
