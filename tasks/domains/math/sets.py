"""Sets of real numbers: intervals, unions of them, and what is left out of them."""

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

from overthink.tasks.domains.math.evaluation import Undecided
from overthink.tasks.domains.math.expressions import negative, symbol
from overthink.tasks.domains.math.lexing import Unreadable
from overthink.tasks.domains.math.numerics import equal, real_value
from overthink.tasks.domains.math.values import Answer, Ordered, Pieces, Scalar, Unordered, Value

_INFINITY = Scalar(symbol("infty"))
_MINUS_INFINITY = Scalar(negative(symbol("infty")))


def interval(low: Answer | None, high: Answer | None, closed_low: bool = False, closed_high: bool = False) -> Ordered:
    """From low to high, None being infinite; an open one is spelled like a pair."""
    items = (low or Answer(_MINUS_INFINITY), high or Answer(_INFINITY))
    return Ordered("[" if closed_low and low else "(", items, "]" if closed_high and high else ")")


REALS = interval(None, None)


def united(values: Sequence[Value]) -> Value:
    """The union, its pieces sorted and joined where they meet. Raises Unreadable for what is not a set of numbers."""
    pieces = sorted((piece for value in values for piece in pieces_of(value)), key=cmp_to_key(_order))
    if all(_is_point(piece) for piece in pieces):
        points = {piece.items[0].key: piece.items[0] for piece in pieces}
        return Unordered(tuple(points.values())) if len(points) != 1 else next(iter(points.values())).value
    joined: list[Ordered] = []
    for piece in pieces:
        if joined and _meet(joined[-1], piece):
            joined[-1] = _hull(joined[-1], piece)
        else:
            joined.append(piece)
    return joined[0] if len(joined) == 1 else Pieces(tuple(joined))


def common(one: Value, other: Value) -> Value:
    """What two intervals have in common. Raises Unreadable where they are none."""
    (first, *more), (second, *others) = pieces_of(one), pieces_of(other)
    if more or others:
        raise Unreadable("more than two intervals")
    left = first if _before(second.items[0], first.items[0]) or _tight(first.opening, second, first, 0) else second
    right = first if _before(first.items[1], second.items[1]) or _tight(first.closing, second, first, 1) else second
    if not _before(left.items[0], right.items[1]):
        return Unordered(())
    return Ordered(left.opening, (left.items[0], right.items[1]), right.closing)


def _tight(bracket: str, one: Ordered, other: Ordered, end: int) -> bool:
    return (
        bracket in "()"
        and not _before(one.items[end], other.items[end])
        and not _before(other.items[end], one.items[end])
    )


def without(whole: Value, points: Value) -> Value:
    """A set of numbers without some of them. Raises Unreadable for any other difference."""
    pieces, taken = pieces_of(whole), pieces_of(points)
    if not all(_is_point(point) for point in taken):
        raise Unreadable("more than points are taken")
    for point in taken:
        pieces = [part for piece in pieces for part in _cut(piece, point.items[0])]
    return united(pieces)


def _cut(piece: Ordered, point: Answer) -> list[Ordered]:
    """An interval without a point: what is left and right of it."""
    low, high = piece.items
    below, above = _compared(point, low), _compared(point, high)
    if below < 0 or above > 0:
        return [piece]
    left = [Ordered(piece.opening, (low, point), ")")] if below > 0 else []
    return left + ([Ordered("(", (point, high), piece.closing)] if above < 0 else [])


def pieces_of(value: Value) -> list[Ordered]:
    """The intervals that a set of numbers is made of; a point is one from it to itself. Raises Unreadable."""
    if isinstance(value, Pieces):
        return list(value.items)
    if isinstance(value, Ordered) and len(value.items) == 2:
        return [value]
    if isinstance(value, Unordered):
        return [_point(item) for item in value.items]
    if isinstance(value, Scalar) and not value.valued.letters:
        return [_point(Answer(value))]
    raise Unreadable("not a set of numbers")


def _point(item: Answer) -> Ordered:
    return Ordered("[", (item, item), "]")


def _is_point(piece: Ordered) -> bool:
    return piece.items[0] is piece.items[1]


def _order(one: Ordered, other: Ordered) -> int:
    return _compared(one.items[0], other.items[0]) or (one.opening == "(") - (other.opening == "(")


def _before(one: Answer, other: Answer) -> bool:
    return _compared(one, other) < 0


def _compared(one: Answer, other: Answer) -> int:
    """-1, 0 or 1; ends with letters in them are ordered by their text."""
    first, second = _size(one), _size(other)
    if first is None or second is None:
        return (one.key > other.key) - (one.key < other.key)
    if (
        isinstance(one.value, Scalar)
        and isinstance(other.value, Scalar)
        and equal(one.value.valued, other.value.valued)
    ):
        return 0
    return -1 if first < second else 1


def _size(end: Answer) -> Any:
    if not isinstance(end.value, Scalar):
        return None
    if end.value.key in (_INFINITY.key, _MINUS_INFINITY.key):
        return float("inf") if end.value.key == _INFINITY.key else float("-inf")
    try:
        return real_value(end.value.valued)
    except Undecided:
        return None


def _meet(left: Ordered, right: Ordered) -> bool:
    order = _compared(right.items[0], left.items[1])
    if _size(right.items[0]) is None or _size(left.items[1]) is None:
        return False
    return order < 0 or (order == 0 and (left.closing == "]" or right.opening == "["))


def _hull(left: Ordered, right: Ordered) -> Ordered:
    order = _compared(left.items[1], right.items[1])
    last = right if order < 0 or (order == 0 and right.closing == "]") else left
    return Ordered(left.opening, (left.items[0], last.items[1]), last.closing)
