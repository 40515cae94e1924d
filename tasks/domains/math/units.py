"""Units behind a number: what they measure, and how many of the base unit they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from overthink.tasks.domains.math.lexing import Token, Unreadable

_F = Fraction
ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Unit:
    """`measure` says what of, `factor` how many of its base unit; a bare number has the measure "" and the factor 1."""

    measure: str
    factor: Fraction = ONE


NONE = Unit("")
PERCENT = Unit("", _F(1, 100))
DEGREE = Unit("degree")
CURRENCIES = {"$": Unit("dollar"), "€": Unit("euro"), "£": Unit("pound"), "¥": Unit("yen"), "₹": Unit("rupee")}
_KNOWN: dict[str, tuple[str, Fraction]] = {}
for _measure, _spellings in {
    "meter": {
        "mm millimeter millimetre": _F(1, 1000), "cm centimeter centimetre": _F(1, 100), "dm decimeter": _F(1, 10),
        "m meter metre": _F(1), "km kilometer kilometre": _F(1000), "inch inches in": _F(254, 10_000),
        "ft foot feet": _F(3048, 10_000), "yd yard": _F(9144, 10_000), "mile mi": _F(1_609_344, 1000),
    },
    "second": {
        "ms millisecond": _F(1, 1000), "s sec second": _F(1), "min minute": _F(60), "h hr hour": _F(3600),
        "day": _F(86_400), "week": _F(604_800),
    },
    "gram": {
        "mg milligram": _F(1, 1000), "g gram": _F(1), "kg kilogram": _F(1000), "lb lbs pound": _F(45_359_237, 100_000),
        "oz ounce": _F(45_359_237, 1_600_000),
    },
    "liter": {"ml mL milliliter millilitre": _F(1, 1000), "L l liter litre": _F(1)},
    "dollar": {"dollar buck usd USD": _F(1), "cent": _F(1, 100)},
    "euro": {"euro eur EUR": _F(1)},
    "degree": {"degree deg": _F(1)},
    "radian": {"radian rad": _F(1)},
    "month": {"month": _F(1), "year yr": _F(12)},
    "newton": {"N newton": _F(1)}, "joule": {"J joule": _F(1)}, "watt": {"W watt": _F(1)},
}.items():  # fmt: skip
    for _names, _factor in _spellings.items():
        _KNOWN |= dict.fromkeys(_names.split(), (_measure, _factor))
_ATTACHED = frozenset(["mm", "cm", "km", "mg", "kg", "ml", "mL", "ft", "lb", "lbs", "oz", "mph", "kmh"])
_JOINED = {"mph": ("mile", "hour"), "kmh": ("km", "hour"), "kph": ("km", "hour")}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_NO_UNIT = frozenset(("unit", "units"))
_PERCENT = ("percent", "per cent", "percentage point")
_VOWELS = frozenset("aeiouyAEIOUY")


def begins_unit(token: Token, before: Token) -> bool:
    """Whether a word behind an expression begins its unit, and is not a product of letters."""
    if token.kind not in ("word", "symbol") or before.text in ("angle", "triangle"):
        return False
    if token.prose:
        return True
    if token.kind == "symbol":
        return False
    if not token.spaced and before.kind == "number":
        return token.text in _ATTACHED
    return (
        token.text in _KNOWN
        or token.text in _JOINED
        or token.text in _POWERS
        or (len(token.text) > 2 and bool(_VOWELS & set(token.text)))
    )


def unit_of(tokens: Sequence[Token]) -> Unit:
    """The unit that the tokens make. Raises Unreadable where they hold anything else."""
    words = [_singular(token.text) for token in tokens if token.kind in ("word", "symbol")]
    if " ".join(words) in _PERCENT:
        return PERCENT
    known = known_unit(tokens)
    if known is None:
        if any(token.kind not in ("word", "symbol") for token in tokens):
            raise Unreadable("a unit that is not known")
        return Unit(" ".join(word.lower() for word in words))
    return known


def known_unit(tokens: Sequence[Token]) -> Unit | None:
    """The unit that the tokens make of known ones; None for anything else."""
    try:
        return _measured(list(_factors(list(tokens)))) if tokens else None
    except KeyError:
        return None


def _measured(factors: Iterable[tuple[str, int]]) -> Unit:
    powers: dict[str, int] = {}
    size = Fraction(1)
    for name, power in factors:
        if name in _NO_UNIT:
            continue
        for each, sign in zip(_JOINED.get(name, (name,)), (1, -1), strict=False):
            measure, factor = _KNOWN[each]
            powers[measure] = powers.get(measure, 0) + sign * power
            size *= factor ** (sign * power)
    return Unit(" ".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(powers.items())), size)


def _factors(tokens: list[Token]) -> Iterable[tuple[str, int]]:
    """The units in a product or quotient of them, with their powers. Raises KeyError for a word that is no unit."""
    sign, waiting, place = 1, 1, 0
    while place < len(tokens):
        token, place = tokens[place], place + 1
        if token.text in ("/", "per"):
            sign = -1
        elif token.text in ("square", "sq", "cubic", "cu"):
            waiting = _POWERS[token.text]
        elif token.text in ("cdot", "*", "-", "."):
            continue
        elif token.kind in ("word", "symbol"):
            name = _known(token.text)
            power, place = _raised(tokens, place)
            yield name, sign * (power if power != 1 else waiting)
            waiting = 1
        else:
            raise KeyError(token.text)


def _known(text: str) -> str:
    for name in (text, _singular(text), _singular(text.lower())):
        if name in _KNOWN or name in _NO_UNIT or name in _JOINED:
            return name
    raise KeyError(text)


def _raised(tokens: list[Token], place: int) -> tuple[int, int]:
    """The power behind a unit, and where it ends."""
    following = [token.text for token in tokens[place : place + 5]] + [""] * 5
    if following[0] in ("squared", "cubed"):
        return _POWERS[following[0]], place + 1
    if following[0] != "^":
        return 1, place
    braced = following[1] == "{"
    sign = -1 if following[1 + braced] == "-" else 1
    digits = following[1 + braced + (sign < 0)]
    if not digits.isdigit() or len(digits) > 2:
        raise KeyError(digits)
    return sign * int(digits), place + 2 + 2 * braced + (sign < 0)


def _singular(word: str) -> str:
    if word in _KNOWN or len(word) < 4 or word.endswith("ss"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("xes", "ches", "shes", "sses")) else word.removesuffix("s")
