"""Which quantities are near each other, as groups that depend on no order."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from overthink.tasks.domains.quantity.measured import Measured

ROUNDING = 1e-12  # relative, of floats


def is_near(one: float, other: float, tolerance: float, is_absolute: bool) -> bool:
    """Whether two values differ by at most the tolerance, which is a share of the larger one unless absolute.

    By a share, values of different signs are never near, and 0 only to 0.
    """
    if is_absolute:
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=tolerance * (1 + ROUNDING))
    return one == other or (one * other > 0 and abs(one - other) <= (tolerance + ROUNDING) * max(abs(one), abs(other)))


def near_groups(values: Sequence[float], tolerance: float, near: Callable[[float, float, float], bool]) -> list[int]:
    """The group of each value: those that a chain joins, each link within the tolerance (single linkage).

    Of two values the ones between are nearer to both, so that neighbours in their order decide.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    groups = [0] * len(values)
    for before, after in pairwise(order):
        groups[after] = groups[before] + (not near(values[before], values[after], tolerance))
    return groups


def in_one_unit(found: Sequence[Measured | None]) -> list[Measured | None]:
    """Quantities of one problem: numbers without a unit are in that of the others, where these have but one."""
    units = {one.unit for one in found if one is not None and one.unit is not None and one.unit.dimensions}
    if len(units) != 1:
        return list(found)
    (unit,) = units
    return [replace(one, unit=unit) if one is not None and one.unit is None else one for one in found]


def in_common_unit(alike: Sequence[Measured]) -> list[float]:
    """Quantities of the same dimensions as numbers in one of their units: the commonest.

    Temperatures are in degrees where one is, since a share of a temperature depends on where it counts from.
    """
    counts = Counter(one.unit for one in alike if one.unit is not None)
    if not counts:
        return [one.value for one in alike]
    unit = min(counts, key=lambda one: (one.scale or "~", -counts[one], one.factor))
    return [unit.from_base(one.base) for one in alike]
