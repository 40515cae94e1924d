"""Reads sums, products, integrals and limits: what binds a letter."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from overthink.tasks.domains.math.cursor import Cursor
from overthink.tasks.domains.math.expressions import Expression
from overthink.tasks.domains.math.lexing import Token, Unreadable
from overthink.tasks.domains.math.rewriting import bound

_DIFFERENTIAL = Token("mark", "differential")
_ONE = Token("number", "1", value=Fraction(1))


class Grammar(NamedTuple):
    """What reads a sum of terms, a product of factors, and the one thing that an index or exponent takes."""

    sum: Callable[[], Expression]
    product: Callable[[], Expression]
    argument: Callable[[], Expression]


def bound_operation(cursor: Cursor, name: str, grammar: Grammar) -> Expression:
    """The operation whose command was just passed, with its ends and what it is of. Raises Unreadable."""
    if name == "int":
        return _integral(cursor, grammar)
    if name == "lim":
        cursor.need("_")
        letter, end = _index(cursor, "to", grammar)
        return bound(name, letter, grammar.product(), end)
    above = grammar.argument() if cursor.take("^") else None
    cursor.need("_")
    letter, below = _index(cursor, "=", grammar)
    if above is None:
        cursor.need("^")
        above = grammar.argument()
    return bound(name, letter, grammar.product(), below, above)


def _index(cursor: Cursor, mark: str, grammar: Grammar) -> tuple[str, Expression]:
    """k = 1, or x to 0, in braces."""
    cursor.need("{")
    letter = cursor.ahead()
    if letter.kind not in ("symbol", "command"):
        raise Unreadable("no letter that runs")
    cursor.place += 1
    cursor.need(mark)
    end = grammar.sum()
    cursor.need("}")
    return letter.text, end


def _integral(cursor: Cursor, grammar: Grammar) -> Expression:
    ends = {mark: grammar.argument() for mark in ("_", "^", "_") if cursor.take(mark)}
    letter, inside = _mark_differential(cursor)
    body = grammar.product() if inside else grammar.sum()
    if not inside:
        cursor.need(_DIFFERENTIAL.text)
    return bound("int", letter, body, *(ends[mark] for mark in sorted(ends)))


def _mark_differential(cursor: Cursor) -> tuple[str, bool]:
    """The letter of the integral's dx, of which a mark is made; and whether it stands in braces, and is a factor 1."""
    depth = inner = 0
    for place in range(cursor.place, len(cursor.tokens)):
        token = cursor.tokens[place]
        depth += {"{": 1, "}": -1}.get(token.text, 0)
        inner += token.text == "int"
        size = _differential(cursor.tokens[place : place + 2])
        if size and not inner:
            letter = cursor.tokens[place + size - 1].text.removeprefix("d")
            alone = cursor.tokens[place - 1].text == "{" and cursor.tokens[place + size].text == "}"
            cursor.tokens[place : place + size] = [_ONE] * alone if depth > 0 else [_DIFFERENTIAL]
            return letter, depth > 0
        inner -= bool(size)
    raise Unreadable("an integral without a differential")


def _differential(tokens: list[Token]) -> int:
    """How many tokens make dx here: one word, or d and a letter; 0 for none."""
    if re.fullmatch(r"d[A-Za-z]", tokens[0].text):
        return 1
    follows = len(tokens) > 1 and (tokens[1].kind == "symbol" or tokens[1].kind == "command")
    return 2 if tokens[0].text == "d" and follows else 0
