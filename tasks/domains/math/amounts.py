"""Numbers with their units: 18 cm, 5 %, $3, 2 hours 30 minutes."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from overthink.tasks.domains.math.expressions import NoValue, number
from overthink.tasks.domains.math.lexing import Token, Unreadable
from overthink.tasks.domains.math.parsing import expression_of
from overthink.tasks.domains.math.rewriting import signs_apart
from overthink.tasks.domains.math.splitting import Tokens
from overthink.tasks.domains.math.units import CURRENCIES, DEGREE, NONE, PERCENT, Unit, begins_unit, known_unit, unit_of
from overthink.tasks.domains.math.values import Answer, Scalar, Unordered

_ORDINALS = ("st", "nd", "rd", "th")
_RAISED = (("th",), ("^", "th"), ("^", "{", "th", "}"))


def amount(tokens: Tokens) -> Answer:
    """An expression, and the unit or currency beside it. Raises Unreadable."""
    tokens = [_as_unit(tokens, at) for at in range(len(tokens))]
    for place in (0, 1, len(tokens) - 1):
        if place < len(tokens) and tokens[place].kind == "mark" and tokens[place].text in CURRENCIES:
            return _money([*tokens[:place], *tokens[place + 1 :]], CURRENCIES[tokens[place].text])
    if len(tokens) > 1 and tokens[-1].text == "%":
        return _with_unit(tokens[:-1], PERCENT)
    if len(tokens) > 2 and tokens[-1].text in ("C", "F", "K") and "circ" in (tokens[-2].text, tokens[-3].text):
        return _with_unit(tokens[:-1], Unit(f"degree {tokens[-1].text}"))
    begin = next((at for at in range(1, len(tokens)) if begins_unit(tokens[at], tokens[at - 1])), len(tokens))
    if any(_is_amount(tokens, at) for at in range(begin + 1, len(tokens))):
        return compound(tokens)
    return _measured(tokens, begin)


def _as_unit(tokens: Tokens, place: int) -> Token:
    """A token; min and sec are minutes and seconds where they follow a number and have nothing to be functions of."""
    token, following = tokens[place], tokens[place + 1 : place + 2]
    if token.kind != "command" or token.text not in ("min", "sec") or place == 0 or tokens[place - 1].kind != "number":
        return token
    alone = not following or (token.text == "min" and following[0].kind == "number")
    return replace(token, kind="word", prose=True) if alone else token


def _money(tokens: Tokens, unit: Unit) -> Answer:
    if not tokens:
        raise Unreadable("a currency alone")
    rest = amount(tokens)
    if rest.unit not in (None, unit):
        raise Unreadable("two currencies")
    return replace(rest, unit=unit, key="")


def _is_amount(tokens: Tokens, place: int) -> bool:
    """Whether a number in a unit is another amount, not a power."""
    return tokens[place].kind == "number" and tokens[place - 1].text not in ("^", "-", "{")


def _measured(tokens: Tokens, begin: int) -> Answer:
    """An expression with the unit that begins there, if it is one."""
    unit = NONE
    if begin < len(tokens):
        try:
            unit = unit_of(tokens[begin:])
        except Unreadable:
            begin = len(tokens)
    found = _with_unit(tokens[:begin], None if unit == NONE else unit)
    return replace(found, other=_in_letters(tokens)) if begin == len(tokens) else found


def _in_letters(tokens: Tokens) -> Answer | None:
    """A number with letters behind it that may be its unit, as in 5 m; None for anything else."""
    begin = next((at for at in range(1, len(tokens)) if tokens[at].kind in ("symbol", "word")), len(tokens))
    try:
        unit = known_unit(tokens[begin:])
        found = None if unit is None else _with_unit(tokens[:begin], unit)
    except Unreadable:
        return None
    return found if found is not None and isinstance(found.value, Scalar) else None


def _with_unit(tokens: Tokens, unit: Unit | None) -> Answer:
    expression, degrees = expression_of(tokens)
    try:
        values = [Scalar(one) for one in signs_apart(expression)]
    except NoValue as error:
        raise Unreadable(str(error)) from error
    if degrees and unit is None:
        unit = DEGREE
    answers = tuple(Answer(value, unit=unit) for value in values)
    return answers[0] if len(answers) == 1 else Answer(Unordered(answers))


def compound(tokens: Tokens) -> Answer:
    """Several amounts of one measure in a row: 2 hours 30 minutes. Raises Unreadable for anything else."""
    amounts: list[tuple[Fraction, list[Token]]] = []
    for token in tokens:
        if token.kind == "number" and token.value is not None:
            amounts.append((token.value, []))
        elif amounts and token.text != "and":
            amounts[-1][1].append(token)
    units = [unit_of(rest) for _, rest in amounts]
    if tokens[0].kind != "number" or len({unit.measure for unit in units}) != 1 or not _falling(units):
        raise Unreadable("amounts that do not add up")
    value = sum((size * unit.factor for (size, _), unit in zip(amounts, units, strict=True)), Fraction(0))
    return Answer(Scalar(number(value / units[0].factor)), unit=units[0])


def _falling(units: list[Unit]) -> bool:
    """Whether each unit is smaller than the one before, as in hours and minutes."""
    return len(units) > 1 and all(one.factor > other.factor for one, other in pairwise(units))


def with_ordinals(tokens: Tokens) -> Tokens:
    """12th, 12^{th} and so on as a number with the unit "th"."""
    found: list[Token] = []
    place = 0
    while place < len(tokens):
        texts = [token.text for token in tokens[place : place + 4]]
        size = next((len(raised) for raised in _RAISED if _is_ordinal(texts, raised)), 0)
        if size and found and found[-1].kind == "number":
            found.append(Token("word", "th", prose=True))
            place += size
        else:
            found.append(tokens[place])
            place += 1
    return found


def _is_ordinal(texts: list[str], raised: tuple[str, ...]) -> bool:
    return len(texts) >= len(raised) and all(
        text in _ORDINALS if wanted == "th" else text == wanted for text, wanted in zip(texts, raised, strict=False)
    )
