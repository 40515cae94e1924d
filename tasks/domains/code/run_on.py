"""What a text goes on to behind the function that is asked for, most of which is not for us."""

import ast
import symtable
from collections.abc import Collection

from overthink.tasks.domains.code.python_syntax import defined_names, lines_of, module_of, used_names, without_warnings


def without_run_on(text: str, name: str, wanted: Collection[str], once: bool) -> str:
    """A program that behind the definition of `name` has only what that or tests need, which read `wanted`.

    That is what defines, imports or assigns to the names they read, and what this needs in turn; `once`: nor is `name`
    defined again.
    """
    body, lines = module_of(text).body, text.split("\n")
    first = next((place for place, one in enumerate(body) if name in defined_names(one)), len(body) - 1)
    end = lines_of(body[first])[-1]
    asked = [*_globals_read("\n".join(lines[:end])), *wanted]
    kept = _needed(body[first + 1 :], asked, not_again=name if once else None)
    numbers = {number for one in kept for number in lines_of(one)}
    return "\n".join(
        [*lines[:end], *(line for number, line in enumerate(lines, 1) if number > end and number in numbers)]
    )


def _needed(statements: list[ast.stmt], asked: list[str], not_again: str | None) -> list[ast.stmt]:
    """The statements that define what is asked for, directly or for another."""
    definers: dict[str, list[ast.stmt]] = {}
    for statement in statements:
        for name in defined_names(statement) - {not_again}:
            definers.setdefault(name, []).append(statement)
    kept: list[ast.stmt] = []
    while asked:
        for statement in definers.pop(asked.pop(), []):
            kept.append(statement)
            asked += _globals_read(statement)
    return kept


def _globals_read(code: str | ast.stmt) -> set[str]:
    """The names of the module that code reads; all its names where it is too deep to tell."""
    try:
        text = code if isinstance(code, str) else ast.unparse(code)
        with without_warnings():
            table = symtable.symtable(text, "code", "exec")
        return _read_in(table)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return used_names([module_of(code) if isinstance(code, str) else code])


def _read_in(table: symtable.SymbolTable) -> set[str]:
    is_module = table.get_type() == "module"
    own = {one.get_name() for one in table.get_symbols() if one.is_referenced() and (is_module or one.is_global())}
    return own.union(*map(_read_in, table.get_children()))
