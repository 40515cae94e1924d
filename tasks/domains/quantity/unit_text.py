"""Units in plain text as factors with exponents: `kJ mol^-1`, `J/(mol·K)`, `m2 s-1`, `10^-3 m`."""

import re
from dataclasses import dataclass
from fractions import Fraction

from overthink.tasks.domains.quantity.unit_names import name_parts

MOST_FACTORS = 12
MOST_EXPONENT = 30
_SCALE = re.compile(r"(?:[×·]\s?)?10(?:\^\(?(?P<power>[+-]?\d{1,3})\)?)?(?=[\s·×]|$)")
_UP = r"[+-]?\d{1,2}(?:/[1-9]|\.\d)?"
_EXPONENT = rf"\^(?:\((?P<group>{_UP})\)|(?P<up>{_UP}))|(?P<tight>-?\d)(?![\d.])"
_FACTOR = re.compile(rf"(?P<symbol>%|°|[A-Za-zµΩÅ]+)(?:{_EXPONENT})?")
_STOP = re.compile(
    r"\s(?:of|for|in|at|and|or|which|is|was|are|the|from|when|if|as|to|by|with|on|that|because|since|approximately|approx)\b"
    r"|[,;:]|\.\s|\.$|\s-\s|\(\s?(?:approx|or|about|i\.e)",
)


@dataclass(frozen=True)
class UnitText:
    """A power of ten, and factors with their exponents, in the order written."""

    power: int
    factors: tuple[tuple[str, Fraction], ...]

    def __str__(self) -> str:
        """What stands behind a number: " × 10^-19 J"."""
        power = f" × 10^{self.power}" if self.power else ""
        factors = "·".join(name if exponent == 1 else f"{name}^{exponent}" for name, exponent in self.factors)
        return f"{power} {factors}".rstrip()


def read_unit(text: str) -> UnitText | None:
    """The unit that a plain text is, up to where prose begins; None where it is none.

    What follows a slash or "per" is below the line up to the end, as in J/mol·K, unless parentheses end it.
    """
    text = " " + re.sub(r"\bper\b", "/", text)
    if cut := _STOP.search(text):
        text = text[: cut.start()]
    text, power = text.strip(), 0
    scale = _SCALE.match(text)
    if scale is not None:
        power, text = int(scale["power"] or 1), text[scale.end() :]
    factors = _factors(text.strip(" ·×."))
    return None if factors is None or abs(power) > 300 else UnitText(power, tuple(factors))


def _factors(text: str) -> list[tuple[str, Fraction]] | None:
    found: list[tuple[str, Fraction]] = []
    below, groups, place = False, [], 0  # whether a factor is below the line, and what held where each group began
    while place < len(text):
        factor, character = _FACTOR.match(text, place), text[place]
        if factor is not None:
            exponent = Fraction(factor["group"] or factor["up"] or factor["tight"] or 1)
            sign = -1 if below and exponent > 0 else 1
            (*before, last) = name_parts(factor["symbol"])
            found += [(name, Fraction(sign)) for name in before] + [(last, sign * exponent)]
        elif character == "(":
            groups.append(below)
        elif character == ")" and groups:
            below = groups.pop() and bool(groups)
        elif character == "/" and not any(groups):
            below = True
        elif character not in " ·×-" and not text.startswith(("1/", "1)/"), place):
            return None
        place = place + 1 if factor is None else factor.end()
    fits = len(found) <= MOST_FACTORS and all(abs(exponent) <= MOST_EXPONENT for _, exponent in found)
    return found if fits and not groups else None
