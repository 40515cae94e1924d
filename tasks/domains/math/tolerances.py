"""Numbers in plain digits, and the absolute tolerance within which a problem's answer is right."""

import re
from fractions import Fraction

from overthink.tasks.records import Problem

_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?")
_TOLERANCE = re.compile(r"\d{0,9}\.?\d{1,30}(?:e-?\d{1,2})?", re.IGNORECASE)
_PERCENT = re.compile(r"\s?\\?%")


def plain_number(answer: str) -> Fraction | None:
    """The value of an answer that is a plain decimal number, else None."""
    text = answer.strip().strip("$").strip()
    return Fraction(text) if _PLAIN_NUMBER.fullmatch(text) else None


def tolerance_of(problem: Problem) -> Fraction | None:
    """The absolute tolerance of a problem's answer, in the unit of its reference; None where it is graded exactly.

    Raises ValueError for one that is no number, or beside a reference that is not one number in plain digits.
    """
    told = problem.fields.get("tolerance")
    if told is None or told == "":
        return None
    if isinstance(told, bool) or not _TOLERANCE.fullmatch(str(told).strip()):
        raise ValueError(f"the tolerance {told!r} is not a number from 0, such as 0.1: mend the row, or take it out")
    if problem.reference is not None and plain_number(problem.reference) is None:
        raise ValueError(
            f"there is a tolerance, {told}, but the reference {problem.reference!r} is not one number in digits: "
            "write it so, or take the tolerance out"
        )
    return Fraction(str(told).strip())


def is_within(tolerance: Fraction, reference: str, answer: str) -> bool:
    """Whether an answer in plain digits, with or without a percent sign, lies within a tolerance of the reference."""
    right, value = plain_number(reference), plain_number(_PERCENT.sub("", answer))
    return right is not None and value is not None and abs(right - value) <= tolerance
