"""When two answers are the same: strictly, for grouping; lenient about what one leaves out, for grading."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from overthink.tasks.domains.math.by_cases import agree
from overthink.tasks.domains.math.evaluation import NotRead
from overthink.tasks.domains.math.expressions import quotient
from overthink.tasks.domains.math.numerics import equal, proportional
from overthink.tasks.domains.math.units import NONE, PERCENT
from overthink.tasks.domains.math.values import (
    Answer,
    Cases,
    Clock,
    Matrix,
    Ordered,
    Pieces,
    Ratio,
    Scalar,
    Series,
    Statement,
    Unordered,
    Unread,
    Value,
    Words,
    parts_of,
)


@dataclass(frozen=True)
class Rules:
    """`fill`: what one answer leaves out (a unit, a name) is no difference. `percent`: 28 % is also 28."""

    fill: bool
    percent: bool


STRICT = Rules(fill=False, percent=False)
COMPATIBLE = Rules(fill=True, percent=False)
GRADE = Rules(fill=True, percent=True)


def same(one: Answer, other: Answer, rules: Rules) -> bool:
    """Whether two answers are the same; symmetric. Raises Undecided where unknown."""
    if one.key == other.key:
        return True
    letters = _letter(one), _letter(other)
    if rules.fill and None not in letters and (one.name is None) != (other.name is None):
        return letters[0] == letters[1]
    if Unread in (type(one.value), type(other.value)):
        raise NotRead("what is not understood")
    if (
        one.statement is not None
        and other.statement is not None
        and _same_statement(one.statement, other.statement, rules)
    ):
        return True
    if one.name != other.name and (not rules.fill or None not in (one.name, other.name)):
        return False
    return _same_amount(one, other, rules) or (rules.fill and _otherwise_same(one, other, rules))


def _letter(answer: Answer) -> str | None:
    """The letter of a choice: B, or that of (B) 15; None for anything else."""
    said = answer.value.key if answer.name is None else answer.name
    found = re.fullmatch(r"[A-Ha-h]" if answer.name is None else r"\(([A-Ha-h])\)", said)
    return None if found is None else found[0].strip("()")


def _otherwise_same(one: Answer, other: Answer, rules: Rules) -> bool:
    """Whether the other reading of one is the same; letters are a unit only beside what certainly has one."""
    return any(
        first.other is not None
        and (first.other.unit is None or second.unit is not None)
        and _same_amount(first.other, second, rules)
        for first, second in ((one, other), (other, one))
    )


def _same_amount(one: Answer, other: Answer, rules: Rules) -> bool:
    """Whether the values are the same, units and all."""
    units = one.unit or NONE, other.unit or NONE
    if isinstance(one.value, Scalar) and isinstance(other.value, Scalar) and units[0].measure == units[1].measure:
        first, second = one.value.scaled(units[0].factor), other.value.scaled(units[1].factor)
        said = rules.percent and PERCENT in units and NONE in units and equal(one.value.valued, other.value.valued)
        return said or equal(first.valued, second.valued)
    if units[0] != units[1] and not (rules.fill and NONE in units):
        return False
    return _same_value(one.value, other.value, rules) or (rules.fill and _akin(one.value, other.value, rules))


def _same_value(one: Value, other: Value, rules: Rules) -> bool:
    if one.key == other.key:
        return True
    return type(one) is type(other) and type(one) in _BY_KIND and _BY_KIND[type(one)](one, other, rules)


def _akin(one: Value, other: Value, rules: Rules) -> bool:
    """What one leaves out: that a tuple is a column or row, what its numbers are called, how a ratio is meant."""
    for first, second in ((one, other), (other, one)):
        if isinstance(first, Ratio) and isinstance(second, Scalar) and len(first.items) == 2:
            return equal(Scalar(quotient(*(item.expression for item in first.items))).valued, second.valued)
        if isinstance(first, Clock) and isinstance(second, Ratio):
            return first.ratio is not None and _same_ratio(first.ratio, second, rules)
        if isinstance(second, Ordered) and (second.opening, second.closing) == ("(", ")"):
            entries = _entries(first)
            if entries is not None:
                return _each(entries, second.items, rules)
    return False


def _entries(value: Value) -> Sequence[Answer] | None:
    """The entries of a vector written as a matrix, or as a list of numbers that each have a different name."""
    if isinstance(value, Matrix) and not value.fence and 1 in (len(value.rows), len(value.rows[0])):
        return [entry for row in value.rows for entry in row]
    if isinstance(value, Unordered):
        names = {item.name for item in value.items}
        return value.items if None not in names and len(names) == len(value.items) else None
    return None


def _each(some: Sequence[Answer], others: Sequence[Answer], rules: Rules) -> bool:
    return len(some) == len(others) and all(same(*pair, rules) for pair in zip(some, others, strict=True))


def _matched(some: Sequence[Answer], others: Sequence[Answer], rules: Rules) -> bool:
    """Whether the items can be paired off, each with one that is the same."""
    if len(some) != len(others):
        return False
    pairs: list[list[int]] = []
    for item in some:
        pairs.append([at for at, other in enumerate(others) if same(item, other, rules)])
        if not pairs[-1]:
            return False
    taken: dict[int, int] = {}
    return all(_placed(item, pairs, taken, set()) for item in range(len(some)))


def _placed(item: int, pairs: list[list[int]], taken: dict[int, int], tried: set[int]) -> bool:
    for at in pairs[item]:
        if at not in tried:
            tried.add(at)
            if at not in taken or _placed(taken[at], pairs, taken, tried):
                taken[at] = item
                return True
    return False


def _same_scalar(one: Scalar, other: Scalar, _: Rules) -> bool:
    return equal(one.valued, other.valued)


def _same_unordered(one: Unordered, other: Unordered, rules: Rules) -> bool:
    return _matched(one.items, other.items, rules)


def _same_series(one: Series, other: Series, rules: Rules) -> bool:
    return _each(one.items, other.items, rules)


def _same_ordered(one: Ordered, other: Ordered, rules: Rules) -> bool:
    return (one.opening, one.closing) == (other.opening, other.closing) and _each(one.items, other.items, rules)


def _same_pieces(one: Pieces, other: Pieces, rules: Rules) -> bool:
    pairs = zip(one.items, other.items, strict=False)
    return len(one.items) == len(other.items) and all(_same_ordered(*pair, rules) for pair in pairs)


def _same_clock(one: Clock, other: Clock, rules: Rules) -> bool:
    """AM or PM may be left out; without either, hours from 0 to 24 are meant."""
    left_out = one.certain != other.certain and (one.halved or other.halved)
    return rules.fill and left_out and (one.minutes - other.minutes) % (12 * 60) == 0


def _same_cases(one: Cases, other: Cases, rules: Rules) -> bool:
    """Whether they are equal as text or by value. Raises Undecided."""
    if _matched(one.items, other.items, rules):
        return True
    first, second = ([parts_of(item)[1] for item in cases.items] for cases in (one, other))
    if all(isinstance(condition.value, Words) for condition in first) and _matched(first, second, rules):
        return False
    return agree(one, other)


def _same_matrix(one: Matrix, other: Matrix, rules: Rules) -> bool:
    if one.fence != other.fence or len(one.rows) != len(other.rows):
        return False
    return all(_each(first, second, rules) for first, second in zip(one.rows, other.rows, strict=True))


def _same_ratio(one: Ratio, other: Ratio, _: Rules) -> bool:
    if len(one.items) != len(other.items):
        return False
    quotients = [
        [Scalar(quotient(item.expression, ratio.items[0].expression)).valued for item in ratio.items[1:]]
        for ratio in (one, other)
    ]
    return all(equal(first, second) for first, second in zip(*quotients, strict=True))


def _same_statement(one: Statement, other: Statement, _: Rules) -> bool:
    """The differences are one a constant multiple of the other; of an inequality a positive one."""
    if one.relation != other.relation:
        return False
    sign = proportional(one.difference.valued, other.difference.valued)
    return sign is not None and (sign == 1 or one.relation in ("=", "!="))


_BY_KIND: dict[type, Callable[[Any, Any, Rules], bool]] = {
    Scalar: _same_scalar,
    Unordered: _same_unordered,
    Ordered: _same_ordered,
    Series: _same_series,
    Pieces: _same_pieces,
    Cases: _same_cases,
    Clock: _same_clock,
    Matrix: _same_matrix,
    Ratio: _same_ratio,
    Statement: _same_statement,
}
