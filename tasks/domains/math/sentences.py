"""Where a sentence that says an answer ends: not at a factorial, a shortened word, or a mark between brackets."""

import re

_MARK = re.compile(r"(?<!\\)[.!?](?=\s|$)|(?<!\\)[;\n]")
_FACTORIAL = re.compile(r"(?:[\d)\]}!]|(?<![A-Za-z])[A-Za-z])!\Z")
_CALCULATES = re.compile(r"\s+(?:[=+/^×·÷−≈≠<>≤≥:]|\*(?!\*)|-\s?[\d(]|\\(?:times|cdot|div|approx|pm)\b)")
_GOES_ON = re.compile(r"\s+(?!(?:and|but|so|yay|hope|i|it|we|that|this)\b)[a-z]")  # 5! ways
_BEFORE_A_WORD = re.compile(r"(?:\b(?:sq|cu|approx|ca|Mr|Mrs|Ms|Dr)|\bU\.S)\.\Z")
_WORD = re.compile(r"\s+[\w$]")
_UNIT = r"(?:in|ft|yds?|mi|hrs?|mins?|secs?|lbs?|oz|yrs?|gal|qts?|pts?|cm|km|kg|mm)"
_SHORT_UNIT = re.compile(rf"\d\s?{_UNIT}\.\Z")
_MORE_OF_IT = re.compile(rf"\s+(?:(?:and\s+)?\d[\d.,/]*\s?{_UNIT}\b|and\s+\d|(?:by|x|×)\s+\d)")
_EQUATION = re.compile(r"\s*[A-Za-z](?:_\{?\w\}?)?\s?=")
_LONGEST_BEFORE = 12  # characters before a mark that say what it is


def first_sentence(text: str) -> str:
    """The text up to the mark that ends its first sentence; brackets are closed in it where they are in the line."""
    first: int | None = None
    for mark in _MARK.finditer(text):
        if _ends(text, mark):
            first = mark.start() if first is None else first
            if mark[0] == "\n":
                break
            if _is_closed(text[: mark.start()]):
                return text[: mark.start()]
    return text[:first]


def _ends(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark ends a sentence, if it is not between brackets."""
    before, end = text[max(0, mark.end() - _LONGEST_BEFORE) : mark.end()], mark.end()
    match mark[0]:
        case "!":
            is_factorial = _FACTORIAL.search(before) and (_CALCULATES.match(text, end) or _GOES_ON.match(text, end))
            return not is_factorial
        case ".":
            is_short = _BEFORE_A_WORD.search(before) and _WORD.match(text, end)
            return not (is_short or (_SHORT_UNIT.search(before) and _MORE_OF_IT.match(text, end)))
        case ";":
            return _EQUATION.match(text, end) is None  # x = 3; y = 4
    return True


def _is_closed(text: str) -> bool:
    return sum(map(text.count, "([{")) <= sum(map(text.count, ")]}"))
