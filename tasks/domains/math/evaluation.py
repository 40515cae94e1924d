"""The value of an expression at a point, to any number of digits; letters have the same random values every time."""

import hashlib
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mpmath.ctx_mp import MPContext

from overthink.tasks.domains.math.expressions import Expression
from overthink.tasks.domains.math.rewriting import BOUND

DIGITS = (60, 240, 1000, 4000)  # tried in turn; what needs more stays undecided
LARGEST_LOGARITHM = 2**64  # of a number that is computed at all
MOST_TERMS = 1000  # of a sum or product whose ends have letters
_INTEGERS = frozenset("jklmnN")

Complex = Any  # mpmath's mpc and mpf are not typed


class Undecided(ArithmeticError):
    """Undecidable here: a number too large to compute, an integral or limit, or an expression that cannot be parsed."""


class NotRead(Undecided):
    """It cannot be parsed, so only its text can be compared."""


class Undefined(ArithmeticError):
    """The expression has no value there."""


def _context(digits: int) -> MPContext:
    context = MPContext()
    context.dps = digits + 10
    return context


CONTEXTS = {digits: _context(digits) for digits in DIGITS}


def value_at(expression: Expression, point: int, digits: int, whole: bool) -> Complex:
    """The value at a point; `whole`: letters such as n are whole numbers. Raises ArithmeticError, ValueError."""
    return _Evaluation(digits, point, whole).value(expression)


class _Evaluation:
    """The values of an expression's parts at one point."""

    def __init__(self, digits: int, point: int, whole: bool) -> None:
        self.mp, self.point, self.whole = CONTEXTS[digits], point, whole
        self.running: dict[str, int] = {}  # the current values of the letters of sums and products
        self.own = {"^": self.power, **dict.fromkeys(BOUND, self.bound)}

    def value(self, one: Expression) -> Complex:
        mp = self.mp
        if one.number is not None:
            return mp.mpc(mp.mpf(one.number.numerator) / one.number.denominator)
        if one.operation == "symbol":
            return self.letter(one.name)
        if one.operation in self.own:
            return self.own[one.operation](one)
        parts = [self.value(part) for part in one.parts]
        if one.operation == "+":
            return mp.fsum(parts)
        if one.operation == "*":
            return mp.fprod(parts)
        return mp.mpc(self.function(one.operation, parts))

    def letter(self, name: str) -> Complex:
        mp = self.mp
        if name in self.running:
            return mp.mpc(self.running[name])
        name = re.sub(r"#\d+", lambda found: str(self.running.get(found[0], found[0])), name)
        known = {"pi": mp.pi, "e": mp.e, "i": mp.j}
        if name in known:
            return mp.mpc(+known[name])
        digest = int.from_bytes(hashlib.sha256(f"{name} {self.point}".encode()).digest()[:8], "big")
        if self.whole and name[0] in _INTEGERS:
            return mp.mpc(digest % 17 + 3)
        size = Fraction(1, 3) + Fraction(digest % 2**32, 2**30)
        return mp.mpc(mp.mpf(size.numerator) / size.denominator * (-1 if self.point > 3 and digest >> 63 else 1))

    def power(self, one: Expression) -> Complex:
        mp = self.mp
        base, value = (self.value(part) for part in one.parts)
        exact = one.parts[1].number
        if base == 0:
            if value.real > 0:
                return mp.mpc(0)
            raise Undefined("a power of zero")
        self.limit(value * mp.log(base))
        if exact is not None and exact.denominator == 1:
            return mp.mpc(mp.power(base, int(exact)))
        if exact is not None and exact.denominator % 2 == 1 and base.imag == 0 and base.real < 0:
            root = mp.power(-base, value)
            return -root if exact.numerator % 2 else root
        return mp.mpc(mp.power(base, value))

    def bound(self, one: Expression) -> Complex:
        """A sum or product whose ends are whole numbers here; an integral or limit is not computed."""
        if one.operation not in ("sum", "prod"):
            raise NotRead("an integral or limit")
        low, high = (self.value(part) for part in one.parts[1:])
        if (
            any(end.imag != 0 or end.real != self.mp.nint(end.real) for end in (low, high))
            or high.real - low.real > MOST_TERMS
        ):
            raise Undecided("a sum or product without whole ends")
        terms = []
        for self.running[one.name] in range(int(low.real), int(high.real) + 1):
            terms.append(self.value(one.parts[0]))
        return self.mp.fsum(terms) if one.operation == "sum" else self.mp.fprod(terms)

    def limit(self, exponent: Complex) -> None:
        if abs(exponent) > LARGEST_LOGARITHM:
            raise Undecided("a power that large")

    def function(self, name: str, parts: list[Complex]) -> Complex:
        if any(part != 0 and abs(self.mp.mag(part)) > 3000 for part in parts) and name not in (
            "abs",
            "ln",
            "max",
            "min",
        ):
            raise Undecided("a function of a number that large")
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
            "double_factorial": mp.fac2, "binomial": mp.binomial,
        }  # fmt: skip

    def named(self, name: str, parts: list[Complex]) -> Complex:
        """A function known only by name: a fixed smooth function."""
        mp = self.mp
        return mp.fsum(mp.sin(part * (2 + ord(name[0]) % 7) + place + 1) for place, part in enumerate(parts)) * 3
