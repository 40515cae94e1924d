"""Which values are written under a logarithmic axis, so that none covers its neighbour, and how."""

import math
from collections.abc import Sequence

LEAST_GAP = {2: 0.12, 10: 1 / 6}  # of the axis, between two labels: budgets, and powers of ten, which are wider
LEADING = ((1, 2, 5), (1, 3), (1,))  # digits before powers of ten, the densest first
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def budget_ticks(budgets: Sequence[float]) -> list[float]:
    """The labelled ones of the budgets, which ascend and are above 0: of close neighbours the larger."""
    return _apart(budgets, LEAST_GAP[2], (budgets[0], budgets[-1]))


def decimal_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, both above 0, as many as have room: 1, 2 and 5 times powers of ten, 1 and 3
    times, or the powers alone; the ends themselves where no two lie between."""
    for leading in LEADING:
        ticks = _round_numbers(low, high, leading)
        if len(ticks) > 1 and len(_apart(ticks, LEAST_GAP[10], (low, high))) == len(ticks):
            return ticks
    ticks = _apart(_round_numbers(low, high, LEADING[-1]), LEAST_GAP[10], (low, high))
    return ticks if len(ticks) > 1 else sorted({low, high})


def power_of_ten(value: float) -> str:
    """A number of two digits and a power of ten, as it is written by hand: 10⁹, 2·10⁹, 1.5·10⁹."""
    digits, power = f"{value:.1e}".split("e")
    raised = f"10{str(int(power)).translate(SUPERSCRIPTS)}"
    digits = digits.removesuffix(".0")
    return raised if digits == "1" else f"{digits}·{raised}"


def _round_numbers(low: float, high: float, leading: Sequence[int]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [one for power in powers for digit in leading if low <= (one := float(f"{digit}e{power}")) <= high]


def _apart(values: Sequence[float], least: float, ends: tuple[float, float]) -> list[float]:
    """The values that lie at least a share of a logarithmic axis from one another, beginning with the largest."""
    whole = math.log(ends[1] / ends[0])
    told: list[float] = []
    for value in reversed(values):
        if not told or math.log(told[-1] / value) >= least * whole * (1 - 1e-9):
            told.append(value)
    return told[::-1]
