"""Expressions made anew: letters replaced, sums and products written out, plus-minus signs apart."""

import re
from collections.abc import Iterator
from itertools import product

from overthink.tasks.domains.math.expressions import Expression, call, negative, number, power, symbol, times, total
from overthink.tasks.domains.math.lexing import Unreadable

BOUND = frozenset(("sum", "prod", "int", "lim"))  # operations on a letter that they bind
MOST_WORK = 50_000  # terms of a sum or product that is written out, times what stands in one
MOST_SIGNS = 4  # plus-minus signs in one expression


def bound(operation: str, letter: str, body: Expression, *ends: Expression) -> Expression:
    """A sum or product between two ends, an integral, or a limit; its letter is renamed, for its name says nothing.

    A sum or product with whole ends is written out where it is short. Raises Unreadable and NoValue.
    """
    if operation in ("sum", "prod") and (values := _whole_range(body, *ends)) is not None:
        terms = [replaced(body, letter, number(value)) for value in values]
        return total(terms) if operation == "sum" else times(terms)
    height = 1 + max((int(one.name[1:]) for one in body.walk() if one.operation in BOUND), default=0)
    own = symbol(f"#{height}")
    parts = (replaced(body, letter, own), *ends)
    return Expression(operation, parts, name=own.name, key=f"{operation}({', '.join(part.key for part in parts)})")


def _whole_range(body: Expression, low: Expression, high: Expression) -> range | None:
    first, last = low.number, high.number
    if first is None or last is None or not first.denominator == last.denominator == 1:
        return None
    short = (last - first + 1) * sum(1 for _ in body.walk()) <= MOST_WORK
    return range(int(first), int(last) + 1) if short else None


def replaced(expression: Expression, letter: str, by: Expression) -> Expression:
    """The expression with something else for a letter, in subscripts too. Raises Unreadable and NoValue."""
    if expression.operation == "symbol":
        return by if expression.name == letter else _subscript_replaced(expression, letter, by)
    if not expression.parts:
        return expression
    return _rebuilt(expression, [replaced(part, letter, by) for part in expression.parts])


def _subscript_replaced(one: Expression, letter: str, by: Expression) -> Expression:
    base, mark, subscript = one.name.partition("_")
    if not mark or not re.search(rf"(?<![A-Za-z]){re.escape(letter)}(?![A-Za-z])", subscript):
        return one
    if subscript != letter:
        raise Unreadable("an index that is computed")
    return symbol(f"{base}_{by.key}")


def _rebuilt(expression: Expression, parts: list[Expression]) -> Expression:
    """The same operation on other parts."""
    makers = {"+": total, "*": times}
    if expression.operation in makers:
        return makers[expression.operation](parts)
    if expression.operation == "^":
        return power(*parts)
    if expression.operation in BOUND:
        return bound(expression.operation, expression.name, *parts)
    return call(expression.operation, *parts)


def signs_apart(expression: Expression) -> list[Expression]:
    """What an expression with plus-minus signs stands for; the signs are one sign where a minus-plus is among them.

    Raises Unreadable and NoValue.
    """
    marks = [one.operation for one in expression.walk() if one.operation in ("pm", "mp")]
    if len(marks) > MOST_SIGNS:
        raise Unreadable("too many signs")
    if "mp" in marks:
        choices = [[1] * len(marks), [-1] * len(marks)]
    else:
        choices = [list(choice) for choice in product((1, -1), repeat=len(marks))]
    found = {one.key: one for one in (_with_signs(expression, iter(choice)) for choice in choices)}
    return list(found.values())


def _with_signs(expression: Expression, signs: Iterator[int]) -> Expression:
    if not expression.parts:
        return expression
    sign = next(signs) if expression.operation in ("pm", "mp") else 1
    parts = [_with_signs(part, signs) for part in expression.parts]
    if expression.operation == "pm":
        return parts[0] if sign > 0 else negative(parts[0])
    if expression.operation == "mp":
        return parts[0] if sign < 0 else negative(parts[0])
    return _rebuilt(expression, parts)
