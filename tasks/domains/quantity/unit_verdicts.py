"""The verdict on a quantity: whether its number or its unit is wrong."""

from collections.abc import Callable

from overthink.tasks.domains.domain import Reason, Verdict
from overthink.tasks.domains.quantity.measured import Measured

ANOTHER_UNIT = "the number is the reference's, and the unit is another"
ANOTHER_KIND = "is a quantity of another kind than the reference"
A_DIFFERENCE = "equals the reference if both are differences of temperatures, and not if both are temperatures"
UNKNOWN_UNIT = "the number is the reference's, and what its unit is worth is not known"


def verdict(right: Measured, given: Measured, near: Callable[[float, float], bool]) -> tuple[Verdict, Reason | None]:
    """Whether a quantity is `near` the right one, in the unit of the latter; and if only its unit is not.

    Against a reference without a unit numbers alone count, and a percentage as written or as a share. A number without
    a unit counts as in the reference's.
    """
    is_same_number = near(given.value, right.value)
    if right.unit is None or given.unit is None:
        is_share = not given.dimensions and near(given.base, right.base)
        return ("equal" if is_same_number or is_share else "different"), None
    if given.dimensions == right.dimensions:
        if near(right.unit.from_base(given.base), right.value):
            return "equal", None
        if not is_same_number:
            return "different", None
        are_scales = given.unit.scale != right.unit.scale
        return ("unknown", A_DIFFERENCE) if are_scales else ("different", ANOTHER_UNIT)
    if not is_same_number:
        return "different", ANOTHER_KIND
    are_known = not given.unit.unknown and not right.unit.unknown
    return ("different", ANOTHER_UNIT) if are_known else ("unknown", UNKNOWN_UNIT)
