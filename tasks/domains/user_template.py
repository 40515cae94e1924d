"""The recipe's template of the user's turn: text with columns of the data in braces, and nothing that executes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_MARK = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class UserTemplate:
    """Literal text and names of columns in turn, text first and last."""

    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it puts in, each once, in their order."""
        return tuple(dict.fromkeys(self.parts[1::2]))

    def fill(self, texts: Mapping[str, str]) -> str:
        """The text with each column's text in its place; braces in these are plain text."""
        return "".join(texts[part] if number % 2 else part for number, part in enumerate(self.parts))


def read_template(text: str) -> UserTemplate:
    """`{name}` is the column of exactly this name, `{{` and `}}` are literal braces.

    Raises ValueError with the remedy for any other brace, and for a template without a column.
    """
    parts, end = [""], 0
    for mark in _MARK.finditer(text):
        parts[-1] += text[end : mark.start()]
        end = mark.end()
        if mark[0] in ("{{", "}}"):
            parts[-1] += mark[0][0]
        elif not mark[1]:
            place = f"`{mark[0]}` at character {mark.start() + 1}"
            raise ValueError(f"{place} names no column: a literal brace is written as {{{{ or }}}}")
        else:
            parts += [mark[1], ""]
    parts[-1] += text[end:]
    if len(parts) == 1:
        raise ValueError("it asks every problem the same: put in a column, such as {question}")
    return UserTemplate(tuple(parts))
