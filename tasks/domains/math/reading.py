"""Text to answer: lists, names, equations and inequalities, and in them the values. Nothing is left out silently."""

from dataclasses import replace

from overthink.tasks.domains.math.amounts import compound
from overthink.tasks.domains.math.choices import choice
from overthink.tasks.domains.math.cleaning import clean
from overthink.tasks.domains.math.evaluation import Undecided
from overthink.tasks.domains.math.expressions import negative, total
from overthink.tasks.domains.math.lexing import Meaningless, Token, Unreadable, tokens_of
from overthink.tasks.domains.math.numerics import vanishes
from overthink.tasks.domains.math.parsing import expression_of
from overthink.tasks.domains.math.rewriting import BOUND
from overthink.tasks.domains.math.sets import REALS, common, interval, united, without
from overthink.tasks.domains.math.shapes import is_mathematics, listed, value_of
from overthink.tasks.domains.math.splitting import Tokens, is_word, split, text_of
from overthink.tasks.domains.math.values import (
    Answer,
    Ordered,
    Pieces,
    Residue,
    Scalar,
    Series,
    Statement,
    Unordered,
    Unread,
    Words,
)

LONGEST = 4000  # characters of an answer that is read as mathematics

_BETWEEN = (",", ";", "and", "or")
_RELATIONS = ("=", "ne", "<", ">", "le", "ge", "approx", "in", "equiv")
_ORDERS = {"<": ("<", False), "le": ("<=", False), ">": ("<", True), "ge": ("<=", True)}


def read_answer(text: str) -> Answer:
    """What an answer says; where that is not understood as a whole, its text. Never raises."""
    cleaned = clean(text)
    try:
        if len(cleaned) > LONGEST:
            raise Unreadable("too long")
        return _answer(split(tokens_of(cleaned), ("implies",))[0][-1])
    except Meaningless:
        return Answer(Words(text_of(tokens_of(cleaned))))
    except (ValueError, LookupError, RecursionError):
        return as_text(text)


def _as_read(tokens: Tokens) -> Answer:
    """What a choice says, which need not be understood beside its letter."""
    try:
        return _answer(tokens)
    except Unreadable:
        return _text(tokens)


def as_text(text: str) -> Answer:
    """An answer of which only the text is compared; of mathematics that is not understood it says no more than that."""
    cleaned = clean(text)
    try:
        return _text(tokens_of(cleaned))
    except (ValueError, LookupError, RecursionError):
        return Answer(Unread(" ".join(cleaned.split())))


def as_told(text: str) -> Answer:
    """The same at a cost that is bounded, for what could not be read in time. Never raises."""
    return as_text(text) if len(text) <= LONGEST else Answer(Unread(" ".join(text.split())))


def _text(tokens: Tokens) -> Answer:
    return Answer((Unread if is_mathematics(tokens) else Words)(text_of(tokens)))


def _answer(tokens: Tokens) -> Answer:
    """A choice, a list, or one item. Raises Unreadable."""
    if len(tokens) > 1 and tokens[-1].text == "only":
        tokens = tokens[:-1]
    letter, tokens = choice(tokens)
    return replace(_as_read(tokens), name=letter, key="") if letter else _listed(tokens)


def _listed(tokens: Tokens) -> Answer:
    parts, marks = split(tokens, _BETWEEN)
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return _item(parts[0] if parts else tokens)
    if set(marks) == {"and"} and (whole := _summed(tokens)) is not None:
        return whole
    items = [item for part in parts for item in listed(_item(part))]
    if any(isinstance(item.value, Words) and len(item.value.key.split()) > 3 for item in items):
        raise Unreadable("prose")
    if any(item.value == _ELLIPSIS for item in items):
        return Answer(Series(tuple(items)))
    if all(isinstance(item.value, (Ordered, Pieces)) and item.name is not None for item in items) and set(marks) & {
        "or",
        "and",
    }:
        return _both(items, "or" in marks)
    spellings = len({text_of(part) for part in parts})
    if len({item.key for item in items}) == 1 and (spellings == len(parts) or set(marks) == {"or"}):
        return items[0]  # one value in several spellings, or said to be itself
    return _list(items)


def _summed(tokens: Tokens) -> Answer | None:
    """2 hours and 30 minutes; None for what is a list."""
    try:
        return compound(tokens)
    except Unreadable:
        return None


def _both(items: list[Answer], either: bool) -> Answer:
    """Two conditions on one letter: their union for "or", what they have in common for "and"."""
    if len({item.name for item in items}) != 1:
        raise Unreadable("conditions on several letters")
    values = [item.value for item in items]
    if not either and len(values) != 2:
        raise Unreadable("more than two conditions")
    return Answer(united(values) if either else common(*values), name=items[0].name)


def _list(items: list[Answer]) -> Answer:
    """A list; a name that stands before the first or every item is the list's."""
    names = [item.name for item in items]
    first = items[0].statement is None or items[0].statement.relation == "="
    if names[0] is not None and first and all(name in (None, names[0]) for name in names):
        bare = tuple(replace(item, name=None, statement=None, key="") for item in items)
        return Answer(Unordered(bare), name=names[0])
    return Answer(Unordered(tuple(items)))


_ELLIPSIS = Words("ldots")


def _item(tokens: Tokens) -> Answer:
    """One item: a value, or a relation. Raises Unreadable."""
    if [token.text for token in tokens] == ["ldots"]:
        return Answer(_ELLIPSIS)
    tokens = tokens[1:] if tokens and tokens[0].text == "=" else tokens
    sides, relations = split(tokens, _RELATIONS)
    if not relations:
        return _labelled(tokens) or value_of(tokens, _answer)
    if relations[-1] == "approx" and not _is_name(sides[-2]):
        return _item(_before_last(tokens, "approx"))
    kinds = set(relations)
    if kinds <= {"=", "approx"}:
        return _equation(sides)
    if len(sides) == 2 and relations[0] in _BETWEEN_TWO:
        return _BETWEEN_TWO[relations[0]](*sides)
    return _inequality(sides, relations)


def _element(left: list[Token], right: list[Token]) -> Answer:
    """What is in a set is named, and the set is the answer."""
    return replace(_answer(right), name=_named(left), key="")


def _congruent(left: list[Token], right: list[Token]) -> Answer:
    residue = _element(left, right)
    if not isinstance(residue.value, Residue):
        raise Unreadable("a congruence without a modulus")
    return residue


def _labelled(tokens: Tokens) -> Answer | None:
    """Words and a colon are a name: "Area: 5"."""
    said, colons = split(tokens, (":",))
    if len(colons) != 1 or not said[0] or not all(is_word(token) for token in said[0]):
        return None
    return replace(_answer(said[1]), name=text_of(said[0]), key="")


def _before_last(tokens: Tokens, mark: str) -> Tokens:
    place = max(at for at, token in enumerate(tokens) if token.text == mark)
    return tokens[:place]


def _is_name(tokens: Tokens) -> bool:
    """Whether a side of an equation only says what the other is: letters and words, without numbers of their own."""
    texts = [token.text for token in tokens]
    if texts[:1] and texts[0] in BOUND:
        return True
    numbers = [at for at, token in enumerate(tokens) if token.kind == "number"]
    own = [at for at in numbers if not _in_subscript(texts, at) and texts[at - 3 : at + 2] != ["^", "{", "-", "1", "}"]]
    return not own and any(token.kind != "mark" for token in tokens)


def _in_subscript(texts: list[str], place: int) -> bool:
    """Whether a token stands in a subscript, in braces or without."""
    if texts[place - 1] == "_":
        return True
    while place > 1 and texts[place] not in ("{", "}"):
        place -= 1
    return texts[place - 1 : place + 1] == ["_", "{"]


def _named(tokens: Tokens) -> str:
    if not _is_name(tokens):
        raise Unreadable("not a name")
    return text_of(tokens)


def _difference(left: Tokens, right: Tokens) -> Scalar | None:
    try:
        return Scalar(total([expression_of(left)[0], negative(expression_of(right)[0])]))
    except Unreadable:
        return None


def _equation(sides: list[list[Token]]) -> Answer:
    """x = 4 is 4 with a name; where no side is a name it is a statement, or a calculation that its end counts of."""
    first, last = sides[0], sides[-1]
    if len(sides) == 2 and not _is_name(first) and _is_name(last):
        first, last = last, first
    difference = _difference(first, last)
    statement = None if difference is None or not difference.valued.letters else Statement("=", difference)
    if _is_name(first) and not (statement and _is_constant(first)):
        value = _answer(last)
        return replace(value, name=text_of(first), statement=statement, key="")
    if statement is None or _always_holds(statement):
        if difference is None:
            raise Unreadable("an equation of what cannot be subtracted")
        return _answer(last)
    return Answer(statement, statement=statement)


def _is_constant(tokens: Tokens) -> bool:
    """Whether a side that looks like a name is a number after all: pi, e, i."""
    try:
        return not Scalar(expression_of(tokens)[0]).valued.letters
    except Unreadable:
        return False


def _always_holds(statement: Statement) -> bool:
    try:
        return vanishes(statement.difference.valued)
    except Undecided:
        return False


def _unequal(left: list[Token], right: list[Token]) -> Answer:
    """x != 3 are all real numbers but 3."""
    value = _answer(right)
    if not isinstance(value.value, (Scalar, Unordered)):
        raise Unreadable("not a number that is left out")
    difference = _difference(left, right) if left else None
    if left and not _is_name(left):
        if difference is None:
            raise Unreadable("a relation of what cannot be subtracted")
        return Answer(Statement("!=", difference))
    statement = None if difference is None else Statement("!=", difference)
    return Answer(without(REALS, value.value), name=text_of(left) if left else None, statement=statement)


def _inequality(sides: list[list[Token]], relations: list[str]) -> Answer:
    """A condition on one letter is an interval with that name; any other is a statement."""
    if any(relation not in _ORDERS for relation in relations):
        raise Unreadable("relations of several kinds")
    falling = {_ORDERS[relation][1] for relation in relations}
    if len(falling) != 1:
        raise Unreadable("an order in two directions")
    if falling == {True}:
        sides, relations = sides[::-1], relations[::-1]
    closed = [_ORDERS[relation][0] == "<=" for relation in relations]
    statement = _ordered_statement(sides, closed)
    if len(sides) == 3 and _is_name(sides[1]):
        value = interval(_answer(sides[0]), _answer(sides[2]), *closed)
        return Answer(value, name=text_of(sides[1]))
    if len(sides) == 2:
        for at, other in ((0, 1), (1, 0)):
            if not sides[at] or (_is_name(sides[at]) and not _is_constant(sides[at])):
                bound = _answer(sides[other])
                low, high = (None, bound) if at == 0 else (bound, None)
                name = text_of(sides[at]) if sides[at] else None
                return Answer(interval(low, high, closed[0], closed[0]), name=name, statement=statement)
    if statement is None:
        raise Unreadable("an inequality that is not understood")
    return Answer(statement, statement=statement)


def _ordered_statement(sides: list[list[Token]], closed: list[bool]) -> Statement | None:
    """a < b as a - b < 0."""
    difference = _difference(*sides) if len(sides) == 2 and all(sides) else None
    return None if difference is None else Statement("<=" if closed[0] else "<", difference)


_BETWEEN_TWO = {"in": _element, "ne": _unequal, "equiv": _congruent}
