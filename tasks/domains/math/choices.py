"""Answers to multiple choice: the letter, with or without the option's text."""

from overthink.tasks.domains.math.splitting import Tokens

_CHOICES = frozenset("ABCDEFGHabcdefgh")
_NO_CHOICE = frozenset(
    ("and", "or", "cup", "cap", "setminus", "cdot", "times", "in", "ne", "le", "ge", "approx", "implies")
)


def choice(tokens: Tokens) -> tuple[str, Tokens]:
    """The letter of a choice in brackets and what it says: (B) 15; without one, "" and all tokens."""
    texts = [token.text for token in tokens[:4]]
    if texts[0:1] in (["option"], ["Option"], ["choice"], ["Choice"]) and tokens[1:]:
        return choice(tokens[1:]) if len(tokens) > 4 else ("", tokens[1:])
    if len(texts) < 4 or texts[0] != "(" or texts[2] != ")" or texts[1] not in _CHOICES:
        return "", tokens
    said, first = tokens[3:], tokens[3]
    begins = first.kind == "number" or (first.spaced and (first.kind != "mark" or first.text in "$({[-"))
    signed = first.text == "-" and said[1:] and said[1].spaced
    if not begins or signed or first.text in _NO_CHOICE or [one.text for one in said[2:3]] == [")"]:
        return "", tokens
    return f"({texts[1]})", said
