"""Whether a text is Python, and what it defines. Nothing is compiled, and nothing runs."""

import ast
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

LONGEST = 100_000  # characters; a longer text is no program
MOST_CUTS = 200
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_ONLY_IN_FUNCTIONS = (ast.Return, ast.Yield, ast.YieldFrom, ast.Await)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign)
_one_at_a_time = Lock()  # which warnings are shown is a matter of the whole process


def parsed(text: str, longest: int = LONGEST) -> ast.Module | None:
    """The syntax tree of a module; None for what is none."""
    found = _tree_or_line(text) if len(text) <= longest else 0
    return None if isinstance(found, int) else found


def module_of(text: str) -> ast.Module:
    """The syntax tree of a text that is Python, as long as it may be. Raises ValueError for any other."""
    tree = parsed(text, len(text))
    if tree is None:
        raise ValueError(f"no Python: {text[:80]!r}")
    return tree


def runnable(text: str) -> str | None:
    """A text up to the first statement of the module that is no Python; None where nothing is left."""
    lines = re.sub(r"\r\n?", "\n", text).split("\n") if len(text) <= LONGEST else []
    for _ in range(MOST_CUTS):
        found = _tree_or_line("\n".join(lines))
        if not isinstance(found, int):
            return "\n".join(lines) if found.body else None
        begins = [place for place, line in enumerate(lines[:found]) if line[:1].strip()]
        lines = lines[: begins[-1]] if begins else []
    return None


@contextmanager
def without_warnings() -> Iterator[None]:
    """What Python says of the style of others' code is not for our users."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tree_or_line(text: str) -> ast.Module | int:
    """The tree, or the line, from 1, of the first mistake."""
    try:
        with without_warnings():
            tree = ast.parse(text)
        stray = min(_stray(tree), default=None)
    except SyntaxError as error:
        return error.lineno or 0
    except (ValueError, RecursionError, MemoryError):
        return 0
    return tree if stray is None else stray


def _stray(tree: ast.AST) -> Iterator[int]:
    """The lines of what may only be in a function, and is in none; of a tree that may be deeper than calls may be."""
    left = [tree]
    while left:
        for child in ast.iter_child_nodes(left.pop()):
            if isinstance(child, _ONLY_IN_FUNCTIONS):
                yield child.lineno
            elif not isinstance(child, _SCOPES):
                left.append(child)


def is_module(text: str) -> bool:
    """Whether a text reads as a program of its own, and not as prose or the body of a function."""
    tree = parsed(text)
    return tree is not None and any(isinstance(statement, (*_DEFINITIONS, *_IMPORTS)) for statement in tree.body)


def defined_names(statement: ast.stmt) -> set[str]:
    """The names that a statement of the module defines, imports or assigns to; none of what only runs."""
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, _IMPORTS):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return {node.id for node in stored} if isinstance(statement, _ASSIGNMENTS) else set()


def is_run(statement: ast.stmt) -> bool:
    """Whether a statement of the module does more than define, import or assign."""
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return not isinstance(statement, (*_DEFINITIONS, *_IMPORTS, *_ASSIGNMENTS)) and not is_text


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that some nodes define, import, assign to or take as arguments."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, (*_DEFINITIONS, *_IMPORTS)):
            found |= defined_names(node)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def used_names(nodes: Iterable[ast.AST]) -> set[str]:
    """All names that are read or written in some statements."""
    return {node.id for one in nodes for node in ast.walk(one) if isinstance(node, ast.Name)}


def lines_of(statement: ast.stmt) -> range:
    """The numbers of its lines, from 1, with those of its decorators."""
    decorators = statement.decorator_list if isinstance(statement, _DEFINITIONS) else []
    first = min([statement.lineno, *(one.lineno for one in decorators)])
    return range(first, (statement.end_lineno or statement.lineno) + 1)


def syntax_key(program: str) -> str:
    """A digest of a program's syntax tree without comments, layout and docstrings."""
    tree = parsed(program)
    if tree is None:
        return program
    for node in ast.walk(tree):
        if isinstance(node, (*_DEFINITIONS, ast.Module)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    written = "\n".join(_written(tree)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(written).hexdigest()[:16]


def _written(tree: ast.AST) -> Iterator[str]:
    """A tree node by node, each with the number of its parts; unlike `ast.dump` as deep as a tree may be."""
    left: list[Any] = [tree]
    while left:
        one = left.pop()
        if isinstance(one, ast.AST | list):
            parts = one if isinstance(one, list) else [value for _, value in ast.iter_fields(one)]
            yield f"{type(one).__name__} {len(parts)}"
            left += reversed(parts)
        else:
            yield repr(one)
