"""Names of units, by pint, which is only ever asked about a single name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

_NAME = re.compile(r"[A-Za-zµΩÅ°%]{1,30}")
_OURS = {"Torr": "torr", "Å": "angstrom", "°": "degree", "%": "percent", "Ω": "ohm", "kPA": "kPa", "Celsius": "degC"}
# Things that are counted, which have no dimension; pint would have molecules as parts of a mole.
_COUNTED = re.compile(
    r"(?:photon|electron|particle|molecule|atom|ion|cell|event|count|time|unit)s?|mitochondri(?:on|a)"
    r"|alpha|beta|gamma|dimensionless|unitless"
)
_CONSTANTS = {"boltzmann_constant", "speed_of_light", "elementary_charge", "molar_gas_constant", "pi", "dirac_constant"}
_PLANE = {"radian", "count", "bit"}  # base units of pint without a dimension


@dataclass(frozen=True)
class NamedUnit:
    """What one of a unit is in base units, with their exponents."""

    factor: float
    bases: tuple[tuple[str, Fraction], ...]


def name_parts(name: str) -> Sequence[str]:
    """A name as it is, or two names that are written as one, such as JK."""
    if named_unit(name) is None and len(name) <= 6:
        for cut in range(len(name) - 1, 0, -1):
            if _asked(name[:cut]) is not None and _asked(name[cut:]) is not None:
                return name[:cut], name[cut:]
    return (name,)


@lru_cache(4096)
def named_unit(name: str) -> NamedUnit | None:
    """A unit by its name, by that in lower case if it is a word, or with its first letter mended; None if unknown."""
    if _COUNTED.fullmatch(name):
        return NamedUnit(1.0, ())
    swapped = name[:1].swapcase() + name[1:]
    tries = (_OURS.get(name, name), *([name.lower()] if len(name) > 3 else []), swapped)
    return next((found for spelled in tries if (found := _asked(spelled)) is not None), None)


@lru_cache(4096)
def _asked(name: str) -> NamedUnit | None:
    """What pint says of one name."""
    if not _NAME.fullmatch(name):
        return None
    import pint

    registry = _registry()
    try:
        if str(registry.parse_units(name)) in _CONSTANTS:
            return None
        factor, base = registry.get_base_units(name)
    except (pint.PintError, AttributeError, KeyError, ValueError, TypeError):  # pint raises all of them for odd names
        return None
    powers = {str(one): Fraction(power).limit_denominator(6) for one, power in base._units.items()}
    return NamedUnit(float(factor), tuple((one, power) for one, power in powers.items() if one not in _PLANE))


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)
