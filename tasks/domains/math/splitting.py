"""Tokens at the top level: splitting them at marks that no bracket holds."""

from collections.abc import Collection, Sequence

from overthink.tasks.domains.math.lexing import Token, Unreadable, names

Tokens = Sequence[Token]

_OPENING = frozenset(("(", "[", "{", "lbrace", "langle", "lfloor", "lceil"))
_CLOSING = frozenset((")", "]", "}", "rbrace", "rangle", "rfloor", "rceil"))

_SHORT_WORDS = names(
    "ad ah am an as at be by do eh ex go ha he hi if in is it km me mm my no of oh ok on or ox pm so to up us we"
)
_JOINING = frozenset(("and", "or", "if", "for", "when", "where"))


def split(tokens: Tokens, separators: Collection[str]) -> tuple[list[list[Token]], list[str]]:
    """What stands between the separators at the top level, and the separators. Raises Unreadable for loose brackets."""
    parts: list[list[Token]] = [[]]
    found: list[str] = []
    depth = 0
    for token in tokens:
        if depth == 0 and (mark := _mark(token)) in separators:
            parts.append([])
            found.append(mark)
            continue
        depth += depth_change(token)
        if depth < 0:
            raise Unreadable("a bracket that nothing opens")
        parts[-1].append(token)
    if depth:
        raise Unreadable("a bracket is not closed")
    return parts, found


def _mark(token: Token) -> str:
    """What a token may separate: marks, commands, and words such as "and"."""
    if token.kind in ("mark", "command"):
        return token.text
    return token.text.lower() if token.text.lower() in _JOINING else ""


def depth_change(token: Token) -> int:
    """1 for what opens, -1 for what closes, else 0."""
    if token.kind not in ("mark", "command"):
        return 0
    if token.text.startswith("begin{"):
        return 1
    if token.text.startswith("end{"):
        return -1
    return 1 if token.text in _OPENING else -1 if token.text in _CLOSING else 0


def enclosed(tokens: Tokens) -> bool:
    """Whether the first token opens a bracket that the last one closes."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += depth_change(token)
        if depth == 0:
            return 0 < place == len(tokens) - 1
    return False


def text_of(tokens: Tokens) -> str:
    """The tokens as one text, in which spacing, the capitals of words and braces around one token do not matter."""
    kept = [
        token.text.lower() if token.kind == "word" and not _is_symbols(token) else token.text
        for place, token in enumerate(tokens)
        if not _is_hyphen(tokens, place) and not _is_needless(tokens, place)
    ]
    return " ".join(kept[1:] if kept[0:1] in (["the"], ["a"], ["an"]) and len(kept) > 1 else kept)


def _is_symbols(token: Token) -> bool:
    """Whether two capitals are letters, such as those of a line, and no English word."""
    return len(token.text) == 2 and token.text.isupper() and token.text.lower() not in _SHORT_WORDS


def _is_hyphen(tokens: Tokens, place: int) -> bool:
    """Whether a mark only joins two words."""
    around = [tokens[at] for at in (place - 1, place + 1) if 0 <= at < len(tokens)]
    return tokens[place].text in ("-", "'", '"') and len(around) == 2 and all(is_word(token) for token in around)


def _is_needless(tokens: Tokens, place: int) -> bool:
    """Whether a brace encloses one token."""
    texts = [token.text for token in tokens[max(place - 2, 0) : place + 3]]
    at = min(place, 2)
    return (texts[at] == "{" and texts[at + 2 : at + 3] == ["}"]) or (texts[at] == "}" and at == 2 and texts[0] == "{")


def is_word(token: Token) -> bool:
    """Whether a token is a word of prose, not letters that may be factors."""
    return token.kind == "word" and (token.prose or len(token.text) > 2)
