"""Named functions of expressions, exact where that is simple."""

import math

from overthink.tasks.domains.math.expressions import Expression, call, number, power, quotient, symbol
from overthink.tasks.domains.math.lexing import Unreadable, names

OF_MANY = names("max min gcd lcm")


def function_of(name: str, base: Expression | None, part: Expression) -> Expression:
    """A function of one expression; only a logarithm has a base. Raises Unreadable."""
    if base is not None and name != "log":
        raise Unreadable(f"{name} has no base")
    if base is not None or name == "lg":
        return quotient(call("ln", part), call("ln", base or number(10)))
    if name == "exp":
        return power(symbol("e"), part)
    return call("ln" if name == "log" else name, part)


def function_of_many(name: str, parts: list[Expression]) -> Expression:
    """max, min, gcd or lcm: exact where the parts are; a greatest common divisor of letters is only named."""
    parts = sorted(parts, key=lambda one: one.key)
    values = [part.number for part in parts if part.number is not None]
    if len(values) == len(parts):
        if name in ("max", "min"):
            return number(max(values) if name == "max" else min(values))
        if all(value.denominator == 1 for value in values):
            return number((math.gcd if name == "gcd" else math.lcm)(*map(int, values)))
    return call(name if name in ("max", "min") else f"{name}:", *parts)
