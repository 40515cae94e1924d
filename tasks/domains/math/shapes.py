"""The value that tokens without a relation make: a number with its unit, words, a tuple, a set, a matrix and so on."""

import re
from dataclasses import replace
from fractions import Fraction

from overthink.tasks.domains.math.amounts import amount, with_ordinals
from overthink.tasks.domains.math.expressions import negative as minus
from overthink.tasks.domains.math.expressions import number, symbol
from overthink.tasks.domains.math.lexing import Token, Unreadable
from overthink.tasks.domains.math.parsing import LONGEST_PRODUCT_WORD, expression_of
from overthink.tasks.domains.math.piecewise import cases
from overthink.tasks.domains.math.sets import REALS, common, united, without
from overthink.tasks.domains.math.splitting import Tokens, enclosed, is_word, split, text_of
from overthink.tasks.domains.math.values import (
    Answer,
    Based,
    Clock,
    Matrix,
    Ordered,
    Ratio,
    Read,
    Residue,
    Scalar,
    Unordered,
    Value,
    Words,
)

_SMALL_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip
_NOTHING = ("emptyset", "empty set", "no solution", "no solutions", "no real solution", "no real solutions")
_SAID: dict[str, Value] = {
    **dict.fromkeys(
        ("all real numbers", "all reals", "real numbers", "set of all real numbers", "mathbb{R}", "all real x"), REALS
    ),
    **dict.fromkeys(_NOTHING, Unordered(())),
    **dict.fromkeys(("dne", "does not exist"), Words("does not exist")),
    **dict.fromkeys(("mathbb{Z}", "all integers", "integers", "set of all integers"), Words("mathbb{Z}")),
    **{word: Scalar(number(value)) for value, word in enumerate(_SMALL_NUMBERS)},
    "noon": Clock(Fraction(12 * 60), True),
    "midnight": Clock(Fraction(0), True),
    "positive infty": Scalar(symbol("infty")),
    "negative infty": Scalar(minus(symbol("infty"))),
}
_HALVES_OF_DAY = re.compile(r"(?<= )(?:(in the morning)|noon|in the (?:afternoon|evening)|at night)$")
_FENCES = {"vmatrix": "|", "Vmatrix": "||"}
_MATRICES = _FENCES.keys() | {"pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array"}
_OPERATORS = frozenset("+*/^_=<>|()[]{}")
_IN_WORDS = frozenset("-'\",.!?()&:;/")


def value_of(tokens: Tokens, read: Read) -> Answer:
    """The value and unit that all the tokens make; `read` reads what stands in brackets. Raises Unreadable."""
    if not tokens:
        raise Unreadable("nothing is there")
    tokens = with_ordinals(tokens)
    if (said := _SAID.get(text_of(tokens))) is not None:
        return Answer(said)
    for shape in (_clock, _residue, _ratio, _based, _sets, _bracketed, _matrix, cases, _words):
        found = shape(tokens, read)
        if found is not None:
            return found if isinstance(found, Answer) else Answer(found)
    return amount(tokens)


def _clock(tokens: Tokens, _: Read) -> Value | None:
    texts = [token.text for token in tokens if token.text not in ("{", "}")]
    spelled = re.sub(r" ?: ?", ":", " ".join(texts))
    spelled = _HALVES_OF_DAY.sub(lambda said: "am" if said[1] else "pm", spelled)
    spelled = re.sub(r"^(\d{1,2}) o ' ?clock\b", r"\1:00", spelled)
    found = re.match(r"(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?(?: ([aApP][ .]*[mM]\b[ .]*))?$", spelled)
    if found is None or int(found[1]) > 24 or (found[2] is None and found[4] is None):
        return None
    half = re.sub(r"[ .]", "", found[4] or "").lower()
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    hours = hours % 24 if not half else hours % 12 + 12 * half.startswith("p")
    terms = tuple(Scalar(number(int(part))) for part in found.groups()[:3] if part is not None)
    ratio = Ratio(terms) if len(terms) > 1 and not half else None
    return Clock(Fraction(hours * 60 + minutes) + Fraction(seconds, 60), bool(half), ratio)


def _ratio(tokens: Tokens, _: Read) -> Value | None:
    parts, _found = split(tokens, (":",))
    if len(parts) < 2:
        return None
    return Ratio(tuple(Scalar(expression_of(part)[0]) for part in parts))


def _based(tokens: Tokens, _: Read) -> Value | None:
    """Digits and a base as subscript; digits above 9 are capital letters."""
    texts = [token.text for token in tokens if token.text not in ("{", "}", "(", ")", "[", "]")]
    texts = [text for at, text in enumerate(texts) if not (text == "base" and texts[at - 1] == "_")]
    if "base" in texts[1:-1]:
        place = texts.index("base")
        texts[place - (texts[place - 1] == "in") : place + 1] = ["_"]
    if "_" not in texts[1:] or not texts[0][0].isalnum():
        return None
    place = texts.index("_")
    digits, base = "".join(texts[:place]), "".join(texts[place + 1 :])
    base = str(_SMALL_NUMBERS.index(base.lower())) if base.lower() in _SMALL_NUMBERS else base
    hexadecimal = base == "16" and re.fullmatch(r"[A-F]{2,}", digits)
    if not re.fullmatch(r"[0-9A-Z]{1,400}", digits) or not base.isdigit():
        return None
    if not hexadecimal and not re.search(r"\d", digits):
        return None
    try:
        value = int(digits, int(base))
        return Based(value, int(base)) if base != "10" else Scalar(number(value))
    except ValueError as error:
        raise Unreadable("digits that the base does not have") from error


def _sets(tokens: Tokens, read: Read) -> Value | None:
    parts, marks = split(tokens, ("cup", "setminus", "backslash", "cap"))
    if not marks and [token.text for token in tokens[:2]] == ["mathbb{R}", "-"]:
        parts, marks = [[tokens[0]], list(tokens[2:])], ["setminus"]
    if not marks:
        return None
    values = [read(part).value for part in parts]
    if len(set(marks)) == 1 and all(isinstance(one, Scalar) and one.expression.name.isalpha() for one in values):
        names = [value.key for value in values]
        return Words(f" {marks[0]} ".join(sorted(names) if marks[0] in ("cup", "cap") else names))
    if set(marks) == {"cup"}:
        return united(values)
    if len(values) == 2:
        return common(*values) if marks[0] == "cap" else without(*values)
    raise Unreadable("sets that are not put together here")


def _bracketed(tokens: Tokens, read: Read) -> Value | Answer | None:
    opening, closing = tokens[0].text, tokens[-1].text
    if opening not in ("(", "[", "{", "lbrace", "langle") or not enclosed(tokens):
        return None
    inner = tokens[1:-1]
    if opening == "lbrace" and closing == "rbrace":
        return _braced(inner, read)
    parts, commas = split(inner, (",", ";"))
    if (opening, closing) == ("{", "}"):
        return read(inner)
    if not inner and (opening, closing) in (("(", ")"), ("[", "]")):
        return Ordered(opening, (), closing)
    if not commas and (opening, closing) in (("(", ")"), ("[", "]")):
        return _matrix(inner, read)
    opening, closing = {"langle": "("}.get(opening, opening), {"rangle": ")"}.get(closing, closing)
    if not commas or opening not in ("(", "[") or closing not in (")", "]"):
        raise Unreadable("brackets that do not belong together")
    return _each_sign(Ordered(opening, tuple(read(part) for part in parts), closing))


def _braced(inner: Tokens, read: Read) -> Value | Answer:
    """A set: of what is listed, or of what fulfils a condition."""
    if not inner:
        return Unordered(())
    said, bars = split(inner, ("|", ":"))
    if len(bars) == 1 and len(said[1]) > 1:
        return replace(read(said[1]), name=None, key="")
    parts, _ = split(inner, (",", ";"))
    items = {item.key: item for part in parts for item in listed(read(part))}
    only = next(iter(items.values()))
    return Unordered(tuple(items.values())) if len(items) > 1 or isinstance(only.value, Unordered) else only


def listed(answer: Answer) -> list[Answer]:
    """The items of a list that stands in a list (of plus and minus); anything else is one item."""
    if isinstance(answer.value, Unordered) and answer.unit is None and answer.value.items:
        return list(answer.value.items)
    return [answer]


def _each_sign(found: Ordered) -> Value:
    """A tuple with plus-minus signs is a list of tuples."""
    choices: list[tuple[Answer, ...]] = [()]
    for item in found.items:
        choices = [(*one, other) for one in choices for other in listed(item)]
        if len(choices) > 64:
            raise Unreadable("too many signs")
    if len(choices) == 1:
        return found
    return Unordered(tuple(Answer(Ordered(found.opening, choice, found.closing)) for choice in choices))


def _matrix(tokens: Tokens, read: Read) -> Value | None:
    if len(tokens) > 2 and tokens[0].text == tokens[-1].text == "|" and enclosed(tokens[1:-1]):
        found = _matrix(tokens[1:-1], read)
        return replace(found, fence="|") if isinstance(found, Matrix) else None
    begin = re.fullmatch(r"begin\{(\w+)\}", tokens[0].text) if tokens else None
    if begin is None or begin[1] not in _MATRICES or not enclosed(tokens):
        return None
    inner = list(tokens[1:-1])
    if begin[1] == "array" and inner and inner[0].text == "{":
        inner = inner[next(at for at in range(2, len(inner) + 1) if enclosed(inner[:at])) :]
    rows = [row for row in split(inner, ("newline",))[0] if row]
    return Matrix(tuple(tuple(read(cell) for cell in split(row, ("&",))[0]) for row in rows), _FENCES.get(begin[1], ""))


def _residue(tokens: Tokens, _: Read) -> Value | None:
    """A whole number up to multiples of another;."""
    place = next((at for at, token in enumerate(tokens) if token.text in ("mod", "pmod")), 0)
    if place == 0:
        return None
    bracketed = tokens[place - 1].text == "("
    left = expression_of(tokens[: place - bracketed])[0].number
    right = expression_of(tokens[place + 1 : len(tokens) - bracketed])[0].number
    if left is None or right is None or not left.denominator == right.denominator == 1 <= right:
        raise Unreadable("a remainder of what is not whole")
    return Residue(int(left), int(right))


def _words(tokens: Tokens, _: Read) -> Value | Answer | None:
    """Words, with numbers and punctuation among them, but no mathematics; a number in front has a unit behind it."""
    if any(not _in_words(token) for token in tokens) or not any(token.kind == "word" for token in tokens):
        return None
    if tokens[0].kind == "number":
        return None
    if any(token.kind == "mark" for token in tokens) and not any(is_word(token) for token in tokens):
        return None  # a product of letters
    said = [token for at, token in enumerate(tokens) if not (token.text == "th" and tokens[at - 1].kind == "number")]
    kept = [token for token in said if token.text not in _IN_WORDS or token.text in "-'/"]
    if len(kept) == 1 and len(kept[0].text) == 1:
        return Scalar(symbol(kept[0].text))
    words = Words(text_of(kept))
    factors = len(tokens) == 1 and not tokens[0].prose and len(tokens[0].text) <= LONGEST_PRODUCT_WORD
    return Answer(words, other=Answer(Scalar(expression_of(tokens)[0]))) if factors else words


def is_mathematics(tokens: Tokens) -> bool:
    """Whether tokens look like mathematics, and not like prose with numbers and punctuation."""
    if all(_in_words(token) for token in tokens) and any(is_word(token) for token in tokens):
        return False
    return any(token.kind == "command" or token.text in _OPERATORS for token in tokens)


def _in_words(token: Token) -> bool:
    return token.kind in ("word", "symbol", "number") or (token.kind == "mark" and token.text in _IN_WORDS)
