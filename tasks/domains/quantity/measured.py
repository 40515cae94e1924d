"""Quantities as values in base units, read from an answer; and the unit that a problem asks for."""

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

from overthink.tasks.domains.quantity.number_text import leading_number
from overthink.tasks.domains.quantity.plain_text import LONGEST, plain
from overthink.tasks.domains.quantity.unit_text import UnitText, read_unit
from overthink.tasks.domains.quantity.unit_worth import KnownUnit, unit_of

_NAMED = re.compile(r"[=≈:]")
_ABOUT = re.compile(r"\s*(?:about|approximately|approx\.?|roughly|around|nearly|ca\.|[~≈·])?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """A number in its unit; `unit` is None where there is only the number."""

    value: float
    unit: KnownUnit | None

    @property
    def base(self) -> float:
        """The value in base units."""
        return self.value if self.unit is None else self.unit.in_base(self.value)

    @property
    def dimensions(self) -> Hashable:
        """What it must share with others to be compared."""
        return () if self.unit is None else self.unit.dimensions

    @property
    def key(self) -> str:
        """The value in base units, and these."""
        bases = () if self.unit is None else self.unit.dimensions
        return " ".join([f"{self.base:.9g}", *(f"{name}^{exponent}" for name, exponent in bases)])


def measured(text: str) -> Measured | None:
    """The quantity that a text is: of "E = 1 J = 6.2 eV" the last; None where it is none that is read."""
    if len(text) > LONGEST:
        return None
    for piece in reversed(_NAMED.split(plain(text))):
        number = leading_number(_ABOUT.sub("", piece, count=1))
        if number is not None:
            return _with_unit(number.value, number.rest)
    return None


def _with_unit(value: float, rest: str) -> Measured | None:
    found = read_unit(rest)
    if found is None:
        return None
    value *= 10.0**found.power
    unit = unit_of(replace(found, power=0)) if found.factors else None
    if found.factors and unit is None:
        return None
    read = Measured(value, unit)
    # What a float does not hold is not read: infinity would be near everything, and 0 is near nothing.
    is_lost = value != 0 and read.base == 0 and not (unit and unit.scale)
    return read if math.isfinite(value) and math.isfinite(read.base) and not is_lost else None


def asked_unit(unit: Any) -> UnitText | None:
    """The unit that a problem asks for; None for none. Raises ValueError for one that is not read."""
    text = plain(str(unit or ""))
    if not text:
        return None
    found = read_unit(text)
    if found is None or len(text) > LONGEST:
        raise ValueError(f"its unit {unit!r} is not read: write it as in kJ mol^-1, or $10^{{-3}} \\mathrm{{~m}}$")
    return found
