"""What a text goes on to behind the function that is asked for, most of which is not for us."""

import ast
import sys
from collections.abc import Collection, Iterable

from overthink.tasks.domains.code.module_names import (
    are_a_use,
    bound,
    called_alone,
    changed,
    changed_when_called,
    defines,
    globals_read,
    is_idle,
    is_use,
    names_missing,
)
from overthink.tasks.domains.code.python_syntax import is_run, lines_of, module_of, parsed, used_names


def without_run_on(text: str, name: str, wanted: Collection[str], once: bool) -> str:
    """A program that behind the definition of `name` has only what that or tests need, which read `wanted`.

    That is what binds the names they read or changes what these stand for, and what this needs in turn, but nothing
    that calls `name` at once or reads input; `once`: nor is `name` defined again, but out of itself.
    """
    body = module_of(text).body
    first = next((place for place, one in enumerate(body) if name in bound(one)), len(body) - 1)
    front, behind = body[: first + 1], [one for one in body[first + 1 :] if not is_use(one, name)]
    if once:
        behind = [one for one in behind if name not in bound(one) or _reads_itself(one, name)]
    end = lines_of(front[-1])[-1]
    asked = globals_read("\n".join(text.split("\n")[:end])).union(wanted, {name})
    own = set().union(*(bound(one) for one in body if not isinstance(one, ast.Import | ast.ImportFrom)))
    changers = {
        one.name
        for one in behind
        if isinstance(one, ast.FunctionDef) and changed_when_called(one) & own and not are_a_use([*ast.walk(one)], name)
    }
    kept = _needed(behind, asked, own, changers)
    return _only(text, [range(1, end + 1), *map(lines_of, kept)])


def without_idle(text: str) -> str:
    """A program without the words of prose, and marks as `[BEGIN]`, that happen to be Python."""
    body = module_of(text).body
    docstring = [one for one in body[:1] if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
    idle = {number for one in body if is_idle(one) and one not in docstring for number in lines_of(one)}
    idle -= {number for one in body if not is_idle(one) for number in lines_of(one)}
    return "\n".join(line for number, line in enumerate(text.split("\n"), 1) if number not in idle) if idle else text


def with_helpers(program: str, blocks: Iterable[str]) -> str:
    """A program behind what it needs of the blocks before its own: imports, helpers and assignments."""
    missing = names_missing(program)
    for block in reversed([*blocks]):
        tree = parsed(block)
        kept: list[ast.stmt] = []
        for statement in reversed(tree.body if tree else []):
            if not is_run(statement) and bound(statement) & missing:
                kept.append(statement)
                missing |= globals_read(statement)
        if kept:
            program = f"{_only(block, [*map(lines_of, kept)])}\n{program}"
    return program


def futures_first(program: str) -> str:
    """A program whose imports from `__future__` are its first statements, as Python has it."""
    body = module_of(program).body
    futures = [lines_of(one) for one in body if isinstance(one, ast.ImportFrom) and one.module == "__future__"]
    if not futures:
        return program
    others = set(range(1, program.count("\n") + 2)).difference(*futures)
    return f"{_only(program, futures)}\n{_only(program, [others])}"


def _needed(statements: list[ast.stmt], asked: set[str], own: set[str], changers: set[str]) -> list[ast.stmt]:
    """The statements that bind what is asked for, or change what of it is the program's `own`, for it or for another.

    That may be done by functions, the `changers`, that are called for it alone. A setting of the interpreter is needed,
    and a star of the standard library, which may bind anything.
    """
    kept: list[ast.stmt] = []
    waiting = [(one, bound(one) | (_changed(one, changers) & own)) for one in statements if not is_idle(one)]
    while True:
        found = [one for one, touched in waiting if touched & asked or _is_for_all(one)]
        if not found:
            return kept
        kept += found
        taken = set(map(id, found))
        waiting = [one for one in waiting if id(one[0]) not in taken]
        asked = asked.union(*map(globals_read, found), *map(bound, found))


def _changed(statement: ast.stmt, changers: set[str]) -> set[str]:
    """What it changes, and what it would when it is called; a call alone of a changer changes that."""
    called = called_alone(statement)
    when_called = changed_when_called(statement) if bound(statement) & changers else set()
    return changed(statement) | when_called | ({called} & changers if called else set())


def _is_for_all(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
        return (statement.module or "").split(".")[0] in sys.stdlib_module_names
    function = (
        statement.value.func if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else None
    )
    is_setting = isinstance(function, ast.Attribute) and function.attr.startswith("set")
    return is_setting and changed(statement) == {"sys"}


def _reads_itself(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Assign) and defines(statement, name) and name in used_names([statement.value])


def _only(text: str, numbers: Iterable[Collection[int]]) -> str:
    kept = set().union(*numbers)
    return "\n".join(line for number, line in enumerate(text.split("\n"), 1) if number in kept)
