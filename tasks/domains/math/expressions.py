"""Expressions as trees in which rational arithmetic is done exactly, and sums and products have one order."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

MOST_BITS = 200_000  # of a number that is computed exactly: 60,000 digits


class NoValue(ValueError):
    """The expression divides by zero."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A number, a symbol, or an operation on expressions. `key` is equal where the trees are."""

    operation: str
    parts: tuple["Expression", ...] = ()
    number: Fraction | None = None
    name: str = ""
    key: str = field(default="", compare=False)

    def walk(self) -> Iterator["Expression"]:
        """This expression and all within it."""
        waiting = [self]
        while waiting:
            one = waiting.pop()
            yield one
            waiting.extend(one.parts)


def number(value: Fraction | int) -> Expression:
    """A rational number."""
    value = Fraction(value)
    return Expression("number", number=value, key=number_key(value))


def number_key(value: Fraction) -> str:
    """A number as text: whole, or a quotient; of one with thousands of digits a digest."""
    if value.numerator.bit_length() + value.denominator.bit_length() < 10_000:
        return str(value)
    digest = hashlib.sha256(f"{value.numerator:x}/{value.denominator:x}".encode()).hexdigest()
    return f"number:{digest[:32]}"


def symbol(name: str) -> Expression:
    """A letter, with its subscripts and primes; also a constant such as pi."""
    return Expression("symbol", name=name, key=name)


def call(name: str, *parts: Expression) -> Expression:
    """A function of expressions."""
    return Expression(name, parts, key=f"{name}({', '.join(part.key for part in parts)})")


def total(parts: list[Expression]) -> Expression:
    """Their sum."""
    flat = [inner for part in parts for inner in (part.parts if part.operation == "+" else (part,))]
    known = sum((part.number for part in flat if part.number is not None), Fraction(0))
    others = sorted((part for part in flat if part.number is None), key=lambda part: part.key)
    return _joined("+", ([number(known)] if known else []) + others, 0)


def times(parts: list[Expression]) -> Expression:
    """Their product."""
    flat = [inner for part in parts for inner in (part.parts if part.operation == "*" else (part,))]
    known = reduce(
        lambda one, other: one * other, (part.number for part in flat if part.number is not None), Fraction(1)
    )
    others = sorted((part for part in flat if part.number is None), key=lambda part: part.key)
    return number(0) if known == 0 else _joined("*", ([number(known)] if known != 1 else []) + others, 1)


def _joined(operation: str, parts: list[Expression], neutral: int) -> Expression:
    if len(parts) < 2:
        return parts[0] if parts else number(neutral)
    return Expression(operation, tuple(parts), key=f"({operation.join(part.key for part in parts)})")


def negative(part: Expression) -> Expression:
    """Its negative; of a sum term by term, so that a minus before brackets is no other sum."""
    if part.operation == "+":
        return total([negative(inner) for inner in part.parts])
    return times([number(-1), part])


def quotient(above: Expression, below: Expression) -> Expression:
    """One over the other. Raises NoValue."""
    return times([above, power(below, number(-1))])


def power(base: Expression, exponent: Expression) -> Expression:
    """A power, exact where it is rational and of bounded size. Raises NoValue."""
    if exponent.number == 1:
        return base
    if base.number is not None and exponent.number is not None:
        exact = _rational_power(base.number, exponent.number)
        if exact is not None:
            return number(exact)
    if base.operation == "^" and _is_whole(exponent) and _is_whole(base.parts[1]):
        return power(base.parts[0], times([base.parts[1], exponent]))
    if base.operation == "*" and exponent.number == -1:
        return times([power(part, exponent) for part in base.parts])
    return Expression("^", (base, exponent), key=f"{_fenced(base)}^{_fenced(exponent)}")


def _is_whole(part: Expression) -> bool:
    return part.number is not None and part.number.denominator == 1


def _fenced(part: Expression) -> str:
    plain = part.operation in ("symbol", "+", "*") or part.key.isdigit()
    return part.key if plain else f"({part.key})"


def _rational_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power where it is rational and small enough; negative numbers have the real odd roots. Raises NoValue."""
    if base == 0 and exponent < 0:
        raise NoValue("a division by zero")
    if exponent.denominator == 1 and base in (0, 1, -1):
        return Fraction(int(base) ** (int(exponent) % 2 if base else min(int(exponent), 1)))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > MOST_BITS or exponent.denominator > 64:
        return None
    if base < 0 and exponent.denominator % 2 == 0:
        return None
    above, below = (_root(abs(part), exponent.denominator) for part in (base.numerator, base.denominator))
    if above is None or below is None:
        return None
    return Fraction(above if base >= 0 else -above, below) ** exponent.numerator


def _root(value: int, degree: int) -> int | None:
    """The whole root, or None where there is none, or the number is too large to look for one."""
    if degree == 1:
        return value
    if degree == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 4096:
        return None
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**degree < value else (low, middle)
    return low if low**degree == value else None


def factorial(part: Expression) -> Expression:
    """n!, exact for whole n of bounded size. Raises NoValue for negative whole numbers."""
    value = part.number
    if value is not None and value.denominator == 1:
        if value < 0:
            raise NoValue("a factorial of a negative number")
        if value <= 15_000:
            return number(math.factorial(int(value)))
    return call("factorial", part)


def binomial(above: Expression, below: Expression) -> Expression:
    """n over k, exact for whole numbers of bounded size."""
    n, k = above.number, below.number
    if n is not None and k is not None and n.denominator == k.denominator == 1 and k >= 0 and 0 <= n <= 15_000:
        return number(math.comb(int(n), int(k)))
    return call("binomial", above, below)


def double_factorial(part: Expression) -> Expression:
    """n!!, the product of every other number up to n; exact for whole n of bounded size."""
    value = part.number
    if value is not None and value.denominator == 1 and 0 <= value <= 15_000:
        return number(math.prod(range(int(value), 0, -2)))
    return call("double_factorial", part)
