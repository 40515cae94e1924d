"""What pydantic found wrong with a value, in plain words: what is wanted, what was given, and the remedy."""

import re
from collections.abc import Mapping
from typing import Any

from overthink.tasks.closest import which

LONGEST = 60  # characters of a value that a message shows
NAMES = {  # what a pattern of ours asks for
    r"^[a-z0-9][a-z0-9_-]*$": "small letters, digits, - and _",
    r"^[a-z0-9][a-z0-9-]*$": "small letters, digits and -",
    r"^[A-Z_][A-Z0-9_]*$": "capital letters, digits and _",
    r"^[A-Za-z0-9][A-Za-z0-9._@-]*$": "letters, digits, ., _, @ and -",
}
A_MAPPING = "a mapping of keys to values"
WANTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type", "dataclass_type"), A_MAPPING),
    "path_type": "a path",
    "string_type": "text",
}
LIMITS = {
    "greater_than_equal": ("small", "at least", "ge"),
    "greater_than": ("small", "more than", "gt"),
    "less_than_equal": ("large", "at most", "le"),
    "less_than": ("large", "less than", "lt"),
}
LENGTHS = {
    "too_short": ("entries are too few: give at least", "min_length"),
    "too_long": ("entries are too many: give at most", "max_length"),
    "string_too_short": ("characters are too few: give at least", "min_length"),
    "string_too_long": ("characters are too many: give at most", "max_length"),
}


def plain(detail: Mapping[str, Any]) -> str:
    """One of the errors of a ValidationError: what is wrong and what to write instead, without the key."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    words = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "what is wanted is")
    if kind in WANTED:
        words = f"{WANTED[kind]} is wanted, not {shown(value)}{_instead(kind, value)}"
    elif kind in LIMITS:
        side, limit, name = LIMITS[kind]
        words = f"{value} is too {side}: give {limit} {context[name]:.12g}"
    elif kind in LENGTHS:
        limit, name = LENGTHS[kind]
        is_empty = not (value.strip() if isinstance(value, str) else value)
        words = f"it is empty: give at least {context[name]}" if is_empty else f"{len(value)} {limit} {context[name]}"
    elif kind == "literal_error":
        words = unknown_value(value, names_in(context["expected"]))
    elif kind == "union_tag_invalid":
        words = unknown_value(context["tag"], names_in(context["expected_tags"]))
    elif kind == "string_pattern_mismatch" and context["pattern"] in NAMES:
        words = f"{shown(value)} is no such name: write it with {NAMES[context['pattern']]}"
    elif kind == "missing":
        words = "is missing: add it"
    elif kind == "unexpected_keyword_argument":
        words = "is unknown: leave it out"
    return words


def unknown_value(value: Any, known: list[str]) -> str:
    """What is said of a value that is none of those known."""
    if len(known) == 1:
        return f"{shown(value)} is not {known[0]}: write {known[0]}"
    return f"{shown(value)} is unknown: {which(str(value), known)}"


def shown(value: Any) -> str:
    """A value as a message shows it, in YAML's words, and not all of a long one."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Mapping | list | tuple):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def names_in(listed: str) -> list[str]:
    """The values in pydantic's list of them, which reads `'a', 'b' or 2`."""
    return [quoted or bare for quoted, bare in re.findall(r"'([^']*)'|\b(-?\d+|True|False|None)\b", listed)]


def _instead(kind: str, value: Any) -> str:
    if WANTED[kind] == "a list" and isinstance(value, str | int | float):
        return f": write [{value}]"
    if kind == "string_type" and isinstance(value, int | float):
        return ": put it in quotes"
    return ""
