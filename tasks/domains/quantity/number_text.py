"""The number at the beginning of a plain text, in every spelling: 1,234.5; 2.5 × 10^3; 6.02e23; 3/2; 10^-4; 3,5."""

import math
import re
from dataclasses import dataclass

_SIGN = r"[+-]?\s?"
_GROUPED = r"\d{1,3}(?:(?P<gap>[, \u2009\u202f])\d{3})(?:(?P=gap)\d{3})*(?![\d])(?:\.\d+)?"
_DECIMAL = r"\d+\.\d*|\.\d+|\d+,(?:\d{1,2}|\d{4,})(?![\d,])|\d+"
_POWER = r"[×x·]\s?10\^(?P<open>\()?(?P<power>[+-]?\d{1,4})(?(open)\))"
_NUMBER = re.compile(
    rf"(?P<sign>{_SIGN})(?:(?P<alone>10\^(?P<opened>\()?(?P<exponent>[+-]?\d{{1,4}})(?(opened)\)))"
    rf"|(?P<digits>{_GROUPED}|{_DECIMAL})(?:[eE](?P<e>[+-]?\d{{1,4}})(?!\d|\.\d))?(?:\s?{_POWER})?)"
)
_SIMPLE = r"\(?\s?([+-]?\d{1,30}(?:\.\d{1,30})?)\s?\)?"
_FRACTION = re.compile(rf"(?P<sign>{_SIGN}){_SIMPLE}\s?/\s?{_SIMPLE}(?![\d.^])")
_UNCERTAIN = re.compile(r"\s?±\s?[\d.,]+|\(\d{1,3}\)")


@dataclass(frozen=True)
class ReadNumber:
    """A number, and the text behind it."""

    value: float
    rest: str


def leading_number(text: str) -> ReadNumber | None:
    """The number that a plain text begins with; None where there is none, or it is beyond what a float holds."""
    fraction = _FRACTION.match(text)
    if fraction is not None and float(fraction[3]):
        value = float(fraction[2]) / float(fraction[3])
        return _made(-value if "-" in fraction["sign"] else value, text[fraction.end() :])
    found = _NUMBER.match(text)
    if found is None:
        return None
    digits = "1" if found["alone"] else _digits(found["digits"], found["gap"])
    power = int(found["exponent"] or 0) + int(found["e"] or 0) + int(found["power"] or 0)
    value = float(f"{'-' if '-' in found['sign'] else ''}{digits}e{power}")
    return None if not value and float(digits) else _made(value, text[found.end() :])


def _digits(written: str, gap: str | None) -> str:
    """Digits with a decimal point at most: a comma separates thousands where three digits follow, else decimals."""
    return written.replace(gap, "") if gap else written.replace(",", ".")


def _made(value: float, rest: str) -> ReadNumber | None:
    rest = _UNCERTAIN.sub("", rest, count=1) if _UNCERTAIN.match(rest) else rest
    return ReadNumber(value, rest.strip()) if math.isfinite(value) else None
