"""Are two expressions equal? By their values, to hundreds of digits where that is needed; never by a fixed tolerance.

A difference is nothing but rounding where it shrinks with every digit that is added; one that stays is real.
"""

from contextlib import suppress
from fractions import Fraction
from functools import cached_property

from overthink.tasks.domains.math.evaluation import CONTEXTS, DIGITS, Complex, Undecided, Undefined, value_at
from overthink.tasks.domains.math.expressions import Expression

POINTS = 9  # at which expressions with letters are compared
CONSTANTS = frozenset(("pi", "e", "i"))
_DISCRETE = frozenset(("floor", "ceil", "factorial", "double_factorial", "binomial", "gcd:", "lcm:", "sum", "prod"))
_SETTLED = CONTEXTS[DIGITS[0]].mpf(10) ** -20
_SMALLEST_ROUGH = 1e-300
_CLOSE = CONTEXTS[DIGITS[1]].mpf(10) ** -100


class Valued:
    """An expression with the values it has been found to have."""

    def __init__(self, expression: Expression) -> None:
        self.expression = expression
        names = {one.name for one in expression.walk() if one.operation == "symbol"}
        self.letters = frozenset(name for name in names if "#" not in name) - CONSTANTS
        self.discrete = any(one.operation in _DISCRETE for one in expression.walk())
        self.bits = sum(_bits(one.number) for one in expression.walk() if one.number is not None)
        self._values: dict[tuple[int, int, bool], Complex] = {}

    def at(self, point: int, level: int, whole: bool) -> Complex:
        """The value at a point to `DIGITS[level]` digits. Raises Undecided and Undefined."""
        wanted = point, level, whole
        if wanted not in self._values:
            try:
                self._values[wanted] = value_at(self.expression, point, DIGITS[level], whole)
            except (Undecided, Undefined) as error:
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
        except (Undecided, Undefined):
            return None
        settled = abs(coarse - fine) <= abs(fine) * _SETTLED and (not self.letters or _real(fine, 0))
        return complex(fine) if settled and _SMALLEST_ROUGH < abs(fine) < 1 / _SMALLEST_ROUGH else None

    def compute(self) -> None:
        """Compute what most comparisons ask for. Raises Undecided."""
        for point in range(POINTS if self.letters else 1):
            for level in (0, 1):
                with suppress(Undefined):
                    self.at(point, level, self.discrete)


def equal(one: Valued, other: Valued) -> bool:
    """Whether two expressions are equal wherever both have real values, or else complex ones. Raises Undecided."""
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
    """Whether floats distinguish the two: they do for most pairs, a hundred times faster."""
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
    """Whether an expression is zero. Raises Undecided."""
    return equal(one, Valued(Expression("number", number=Fraction(0), key="0")))


def real_value(one: Valued) -> Complex | None:
    """The value of a real constant, infinity included; None for anything else. Raises Undecided."""
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
    """Whether the difference is rounding alone: it then shrinks as digits are added. Raises Undecided."""
    last = len(DIGITS) - 2 if level is None else level
    before = one.at(point, 0, whole) - other.at(point, 0, whole)
    for finer in range(1, last + 2):
        after = one.at(point, finer, whole) - other.at(point, finer, whole)
        if after != 0 and abs(before - after) * 1000 <= abs(after):
            return False
        before = after
    if level is None:
        raise Undecided("equal as far as can be seen")
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
