"""What a unit is worth in base units."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import log10, prod
from typing import Literal

from overthink.tasks.domains.quantity.unit_names import NamedUnit, named_unit
from overthink.tasks.domains.quantity.unit_text import UnitText

MOST_DECADES = 300  # of a factor
Scale = Literal["degC", "degF"]
_OFFSETS: Mapping[Scale, float] = {"degC": 273.15, "degF": 459.67}  # added before the factor is multiplied


@dataclass(frozen=True)
class KnownUnit:
    """`factor` base units of some `dimensions`, by name; `scale` where it counts temperatures from a zero of its own.

    `unknown` are names that pint does not have: each is a dimension of its own.
    """

    factor: float
    dimensions: tuple[tuple[str, Fraction], ...]
    scale: Scale | None = None
    unknown: tuple[str, ...] = ()

    def in_base(self, value: float) -> float:
        """A value in base units, kelvins for temperatures."""
        return (value + _OFFSETS[self.scale] if self.scale else value) * self.factor

    def from_base(self, value: float) -> float:
        """The inverse."""
        return value / self.factor - (_OFFSETS[self.scale] if self.scale else 0)


def unit_of(text: UnitText) -> KnownUnit | None:
    """What a unit is worth; None where that is beyond what a float holds.

    Temperatures count from a zero only where they stand alone, so that J/°C is J/K.
    """
    factors, dimensions, unknown = [(10.0, float(text.power))], dict[str, Fraction](), []
    for name, exponent in text.factors:
        known = named_unit(name)
        if known is None:
            unknown.append(name)
            known = NamedUnit(1.0, ((name, Fraction(1)),))
        factors.append((known.factor, float(exponent)))
        for base, power in known.bases:
            dimensions[base] = dimensions.get(base, Fraction(0)) + power * exponent
    alone = text.factors[0][0] if len(text.factors) == 1 and text.factors[0][1] == 1 else ""
    found = tuple(sorted((base, power) for base, power in dimensions.items() if power))
    scale: Scale | None = "degC" if alone == "degC" else "degF" if alone == "degF" else None
    if sum(abs(log10(one) * exponent) for one, exponent in factors) > MOST_DECADES:
        return None
    return KnownUnit(prod(one**exponent for one, exponent in factors), found, scale, tuple(sorted(unknown)))
