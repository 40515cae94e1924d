"""Tests that a model wrote: the complete assertions in its text."""

import ast
import re
import warnings
from collections.abc import Iterator

MOST_LINES = 20  # of one assertion
MOST_TRIED = 100  # beginnings of assertions in one text
_ASSERT = re.compile(r"^[ \t]*assert\b", re.MULTILINE)


def assertions(text: str, entry_point: str, most: int) -> list[str]:
    """The first `most` different assertions of a text that call the function, each as one line of Python.

    An assertion begins a line, and what follows it is passed over. One that cannot fail, for it is a tuple, is none.
    """
    found: dict[str, None] = {}
    for piece in _ASSERT.split(text)[1 : MOST_TRIED + 1]:
        if (one := _complete(piece.strip())) is not None and _calls(one, entry_point):
            found.setdefault(ast.unparse(one))
        if len(found) == most:
            break
    return [*found]


def _complete(text: str) -> ast.Assert | None:
    """The assertion that a text begins with: its fewest lines that are one; None where none is complete."""
    lines = text.split("\n")[:MOST_LINES]
    for count in range(1, len(lines) + 1):
        body = _statements("assert " + "\n".join(lines[:count]))
        if body:
            only = body[0] if len(body) == 1 else None
            return only if isinstance(only, ast.Assert) and not isinstance(only.test, ast.Tuple) else None
    return None


def _statements(text: str) -> list[ast.stmt]:
    """The statements of a text; none where it does not compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a model wrote
        try:
            tree = ast.parse(text)
            compile(tree, "test", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
    return tree.body


def _calls(tree: ast.AST, name: str) -> bool:
    return any(_is_call(node, name) for node in ast.walk(tree))


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def all_assertions(texts: list[str], entry_point: str, most: int) -> list[str]:
    """The different assertions of several texts, `most` of each, in their order."""
    return [*dict.fromkeys(_each(texts, entry_point, most))]


def _each(texts: list[str], entry_point: str, most: int) -> Iterator[str]:
    for text in texts:
        yield from assertions(text, entry_point, most)
