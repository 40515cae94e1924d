"""Whether two functions that are given by cases are the same, however their conditions are written."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from overthink.tasks.domains.math.evaluation import Undecided
from overthink.tasks.domains.math.expressions import Expression, NoValue, number
from overthink.tasks.domains.math.lexing import Unreadable
from overthink.tasks.domains.math.numerics import equal
from overthink.tasks.domains.math.piecewise import OTHERWISE
from overthink.tasks.domains.math.rewriting import replaced
from overthink.tasks.domains.math.sets import pieces_of
from overthink.tasks.domains.math.splitting import text_of
from overthink.tasks.domains.math.values import Answer, Cases, Scalar, parts_of

_INFINITE = {"infty": float("inf"), "(-1*infty)": float("-inf")}
_Number = Fraction | float  # a float is infinite


class _Interval(NamedTuple):
    low: _Number
    high: _Number
    with_low: bool
    with_high: bool

    def holds(self, point: Fraction) -> bool:
        above = self.low < point or (self.with_low and self.low == point)
        return above and (point < self.high or (self.with_high and point == self.high))


class _Piece(NamedTuple):
    value: Expression
    intervals: list[_Interval] | None  # None: wherever no other piece holds


def agree(one: Cases, other: Cases) -> bool:
    """Whether both have the same value everywhere, or none. Raises Undecided where unknown."""
    conditions = [parts_of(item)[1] for item in (*one.items, *other.items)]
    letters = {condition.name for condition in conditions if not _is_otherwise(condition)}
    letter = next(iter(letters), None)
    if len(letters) != 1 or letter is None:
        raise Undecided("conditions on no letter, or on several")
    try:
        first, second = ([_piece(item) for item in cases.items] for cases in (one, other))
        ends = _ends(first + second)
        inner = _between(ends)
        if not all(_same(_at(first, point), _at(second, point), letter, point) for point in ends + inner):
            return False
        if not all(_same(_at(first, point), _at(second, point), letter, None) for point in inner):
            raise Undecided("the same at the points that were tried")
    except (Unreadable, NoValue) as error:
        raise Undecided(str(error)) from error
    return True


def _is_otherwise(condition: Answer) -> bool:
    return condition.value.key == text_of(OTHERWISE)


def _piece(item: Answer) -> _Piece:
    value, condition = parts_of(item)
    if not isinstance(value.value, Scalar) or value.unit is not None:
        raise Undecided("a value that is no expression")
    if _is_otherwise(condition):
        return _Piece(value.value.expression, None)
    intervals = [
        _Interval(_number(piece.items[0]), _number(piece.items[1]), piece.opening == "[", piece.closing == "]")
        for piece in pieces_of(condition.value)
    ]
    return _Piece(value.value.expression, intervals)


def _number(end: Answer) -> _Number:
    found = end.value.expression.number if isinstance(end.value, Scalar) else None
    if found is None and end.value.key not in _INFINITE:
        raise Undecided("an end that is no fraction")
    return _INFINITE[end.value.key] if found is None else found


def _ends(pieces: Sequence[_Piece]) -> list[Fraction]:
    ends = {end for piece in pieces for interval in piece.intervals or [] for end in interval[:2]}
    return sorted(end for end in ends if isinstance(end, Fraction))


def _between(ends: Sequence[Fraction]) -> list[Fraction]:
    """A point between any two neighbours, and one on either side of all."""
    if not ends:
        return [Fraction(0)]
    return [ends[0] - 1, *((one + other) / 2 for one, other in pairwise(ends)), ends[-1] + 1]


def _at(pieces: Sequence[_Piece], point: Fraction) -> Expression | None:
    """The value that holds at a point, as an expression."""
    for value, intervals in sorted(pieces, key=lambda piece: piece.intervals is None):
        if intervals is None or any(interval.holds(point) for interval in intervals):
            return value
    return None


def _same(one: Expression | None, other: Expression | None, letter: str, point: Fraction | None) -> bool:
    """Whether two values are the same at a point, or as expressions."""
    if one is None or other is None:
        return one is other
    values = (one, other) if point is None else (replaced(each, letter, number(point)) for each in (one, other))
    first, second = (Scalar(value).valued for value in values)
    return equal(first, second)
