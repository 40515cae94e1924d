"""Are two expressions equal? By their values, to hundreds of digits where that is needed; never by a fixed tolerance.

A difference is nothing but rounding where it shrinks with every digit that is added; one that stays is real. Letters
take the same pseudo-random values every time.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cached_property
from typing import Any

from mpmath.ctx_mp import MPContext

from overthink.tasks.domains.math.expressions import Expression

DIGITS = (60, 240, 1000, 4000)  # tried in turn; what needs more cannot be told
POINTS = 9  # at which expressions with letters are compared
LARGEST_LOGARITHM = 2**64  # of a number that is computed at all
CONSTANTS = frozenset(("pi", "e", "i"))
_INTEGERS = frozenset("jklmnN")
_DISCRETE = frozenset(("floor", "ceil", "factorial", "binomial", "gcd:", "lcm:"))

Complex = Any  # mpmath's mpc and mpf are not typed


class TooLarge(ArithmeticError):
    """A number that is not computed: a tower of powers, or one whose digits would not fit."""


class Undefined(ArithmeticError):
    """The expression has no value there."""


class Valued:
    """An expression with the values it has been found to have."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        self.letters = frozenset(one.name for one in expression.walk() if one.operation == "symbol") - CONSTANTS
        self.discrete = any(one.operation in _DISCRETE for one in expression.walk())
        self.bits = sum(_bits(one.number) for one in expression.walk() if one.number is not None)
        self._values: dict[tuple[int, int, bool], Complex] = {}

    def at(self, point: int, level: int, whole: bool) -> Complex:
        """The value at a point to `DIGITS[level]` digits. Raises TooLarge and Undefined."""
        wanted = point, level, whole
        if wanted not in self._values:
            try:
                self._values[wanted] = _Evaluation(DIGITS[level], point, whole).value(self.expression)
            except (TooLarge, Undefined) as error:
                self._values[wanted] = error
            except (ZeroDivisionError, ValueError, OverflowError, RecursionError) as error:
                self._values[wanted] = Undefined(str(error))
        found = self._values[wanted]
        if isinstance(found, Exception):
            raise found
        return found

    @cached_property
    def rough(self) -> complex | None:
        """The value at the first point as a float, where it can be told by one whether another value differs."""
        try:
            coarse, fine = (self.at(0, level, self.discrete) for level in (0, 1))
        except (TooLarge, Undefined):
            return None
        settled = abs(coarse - fine) <= abs(fine) * _SETTLED and (not self.letters or _real(fine, 0))
        return complex(fine) if settled and _SMALLEST_ROUGH < abs(fine) < 1 / _SMALLEST_ROUGH else None

    def compute(self) -> None:
        """Compute what most comparisons ask for. Raises TooLarge."""
        for point in range(POINTS if self.letters else 1):
            for level in (0, 1):
                with suppress(Undefined):
                    self.at(point, level, self.discrete)


def equal(one: Valued, other: Valued) -> bool:
    """Whether two expressions are equal wherever both have real values, or else complex ones. Raises TooLarge."""
    numbers = one.expression.number, other.expression.number
    if one.expression.key == other.expression.key:
        return True
    if None not in numbers:
        return numbers[0] == numbers[1]
    if _clearly_different(one, other):
        return False
    complex_too = []
    real = False
    for point in range(POINTS if one.letters | other.letters else 1):
        found = _equal_at(one, other, point)
        if found is None:
            continue
        same, both_real = found
        if both_real and not same:
            return False
        real = real or both_real
        complex_too.append(same)
    return real or (bool(complex_too) and all(complex_too))


def _clearly_different(one: Valued, other: Valued) -> bool:
    """Whether floats tell the two apart: most pairs are, and this is a hundred times as fast."""
    first, second = one.rough, other.rough
    if first is None or second is None or one.discrete != other.discrete:
        return False
    return abs(first - second) > 1e-12 * max(abs(first), abs(second))


def proportional(one: Valued, other: Valued) -> Fraction | int | None:
    """The sign (1 or -1, or 0 if it is not real) of the constant ratio of two expressions; None without one."""
    whole, ratios = one.discrete or other.discrete, []
    for point in range(POINTS):
        try:
            below = other.at(point, 1, whole)
            ratios.append(one.at(point, 1, whole) / below)
        except (Undefined, ZeroDivisionError):
            continue
    if len(ratios) < POINTS // 2 or any(abs(ratio - ratios[0]) > abs(ratios[0]) * _CLOSE for ratio in ratios):
        return None
    ratio = ratios[0]
    if abs(ratio) < _CLOSE:
        return None
    return 0 if abs(ratio.imag) > abs(ratio) * _CLOSE else (1 if ratio.real > 0 else -1)


def vanishes(one: Valued) -> bool:
    """Whether an expression is zero. Raises TooLarge."""
    return equal(one, Valued(Expression("number", number=Fraction(0), key="0")))


def real_value(one: Valued) -> Complex | None:
    """The value of a real constant, infinity included; None for anything else. Raises TooLarge."""
    if one.letters <= {"infty"}:
        try:
            value = one.at(0, 0, False)
        except Undefined:
            return None
        return value.real if _real(value, 0) else None
    return None


def _equal_at(one: Valued, other: Valued, point: int) -> tuple[bool, bool] | None:
    """Whether they are equal at a point, and whether both are real there; None where one is undefined."""
    whole = one.discrete or other.discrete
    try:
        first, second = one.at(point, 0, whole), other.at(point, 0, whole)
        real = _real(first, 0) and _real(second, 0)
        level = _level(one, other, first, second)
        return _same(one, other, point, level, whole), real
    except Undefined:
        return None


def _same(one: Valued, other: Valued, point: int, level: int | None, whole: bool) -> bool:
    """Whether the difference is rounding alone: it then shrinks as the digits grow. Raises TooLarge if that is open."""
    last = len(DIGITS) - 2 if level is None else level
    before = one.at(point, 0, whole) - other.at(point, 0, whole)
    for finer in range(1, last + 2):
        after = one.at(point, finer, whole) - other.at(point, finer, whole)
        if after != 0 and abs(before - after) * 1000 <= abs(after):
            return False
        before = after
    if level is None:
        raise TooLarge("equal as far as can be seen")
    return True


def _level(one: Valued, other: Valued, first: Complex, second: Complex) -> int | None:
    """How many digits it takes to tell the two apart: more the larger the whole numbers in them are."""
    magnitude = max(abs(_exponent(first)), abs(_exponent(second)))
    needed = 30 + 0.31 * (2 * (one.bits + other.bits) + magnitude)
    return next((level for level, digits in enumerate(DIGITS[:-1]) if digits >= needed), None)


def _exponent(value: Complex) -> int:
    context = value.context
    return int(context.mag(value)) if value != 0 else 0


def _real(value: Complex, level: int) -> bool:
    return bool(abs(value.imag) <= abs(value) * value.context.mpf(10) ** (-DIGITS[level] // 2))


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length() - 1


def _context(digits: int) -> MPContext:
    context = MPContext()
    context.dps = digits + 10
    return context


_CONTEXTS = {digits: _context(digits) for digits in DIGITS}
_SETTLED = _CONTEXTS[DIGITS[0]].mpf(10) ** -20
_SMALLEST_ROUGH = 1e-300
_CLOSE = _CONTEXTS[DIGITS[1]].mpf(10) ** -100


class _Evaluation:
    """The values of an expression's parts at one point."""

    def __init__(self, digits: int, point: int, whole: bool) -> None:
        self.mp, self.point, self.whole = _CONTEXTS[digits], point, whole

    def value(self, one: Expression) -> Complex:
        mp = self.mp
        if one.number is not None:
            return mp.mpc(mp.mpf(one.number.numerator) / one.number.denominator)
        if one.operation == "symbol":
            return self.letter(one.name)
        if one.operation == "^":
            return self.power(self.value(one.parts[0]), one.parts[1])
        parts = [self.value(part) for part in one.parts]
        if one.operation == "+":
            return mp.fsum(parts)
        if one.operation == "*":
            return mp.fprod(parts)
        return mp.mpc(self.function(one.operation, parts))

    def letter(self, name: str) -> Complex:
        mp = self.mp
        known = {"pi": mp.pi, "e": mp.e, "i": mp.j}
        if name in known:
            return mp.mpc(+known[name])
        digest = int.from_bytes(hashlib.sha256(f"{name} {self.point}".encode()).digest()[:8], "big")
        if self.whole and name[0] in _INTEGERS:
            return mp.mpc(digest % 17 + 3)
        size = Fraction(1, 3) + Fraction(digest % 2**32, 2**30)
        return mp.mpc(mp.mpf(size.numerator) / size.denominator * (-1 if self.point > 3 and digest >> 63 else 1))

    def power(self, base: Complex, exponent: Expression) -> Complex:
        mp = self.mp
        value, exact = self.value(exponent), exponent.number
        if base == 0:
            if value.real > 0:
                return mp.mpc(0)
            raise Undefined("a power of zero")
        self.bound(value * mp.log(base))
        if exact is not None and exact.denominator == 1:
            return mp.mpc(mp.power(base, int(exact)))
        if exact is not None and exact.denominator % 2 == 1 and base.imag == 0 and base.real < 0:
            root = mp.power(-base, value)
            return -root if exact.numerator % 2 else root
        return mp.mpc(mp.power(base, value))

    def bound(self, exponent: Complex) -> None:
        if abs(exponent) > LARGEST_LOGARITHM:
            raise TooLarge("a power that large")

    def function(self, name: str, parts: list[Complex]) -> Complex:
        if any(part != 0 and abs(self.mp.mag(part)) > 3000 for part in parts) and name not in (
            "abs",
            "ln",
            "max",
            "min",
        ):
            raise TooLarge("a function of a number that large")
        if name.endswith(":"):
            return self.named(name, parts)
        if name in ("max", "min"):
            return (max if name == "max" else min)(part.real for part in parts)
        found = self.functions().get(name)
        if found is None:
            raise Undefined(name)
        return found(*parts)

    def functions(self) -> dict[str, Callable[..., Complex]]:
        mp = self.mp
        names = ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth"]
        inverses = {f"arc{name}": getattr(mp, f"a{name}") for name in names}
        return {name: getattr(mp, name) for name in names} | inverses | {
            "ln": mp.log, "abs": abs, "floor": mp.floor, "ceil": mp.ceil, "factorial": mp.factorial,
            "binomial": mp.binomial,
        }  # fmt: skip

    def named(self, name: str, parts: list[Complex]) -> Complex:
        """A function that is only named: some smooth one, the same for every call."""
        mp = self.mp
        return mp.fsum(mp.sin(part * (2 + ord(name[0]) % 7) + place + 1) for place, part in enumerate(parts)) * 3
