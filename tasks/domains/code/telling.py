"""Whether tests can tell a right program from a wrong one: what asserts nothing passes every program."""

import ast
from collections.abc import Iterator

from overthink.tasks.domains.code.python_syntax import defined_names, module_of, used_names

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_YIELDS = (ast.Yield, ast.YieldFrom)
_COMPARISONS = (ast.Compare, ast.BoolOp, ast.UnaryOp)


def refuse_silent(setup: str, text: str, entry_point: str | None) -> None:
    """Raises ValueError, with the remedy, for tests that pass every program, or are not about this one."""
    tree = module_of(f"{setup}\n{text}")
    _refuse_hidden(tree, entry_point)
    _refuse_uncalled(tree)
    nodes = list(_run_nodes(tree))
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, _COMPARISONS):
            raise ValueError(f"its tests only compare, in {ast.unparse(node)[:80]!r}: write `assert` before it")
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            raise ValueError(f"its tests assert a tuple, in {ast.unparse(node)[:80]!r}: leave the brackets out")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "unittest.main":
            raise ValueError("its tests call `unittest.main()`, which ends the process: write functions `test…`")
    if not any(_tells(node, entry_point) for node in nodes):
        raise ValueError("its tests test nothing: write assertions, such as `assert f(1) == 2`")


def _refuse_hidden(tree: ast.Module, entry_point: str | None) -> None:
    for statement in tree.body:
        if entry_point in defined_names(statement):
            line = ast.unparse(statement).split("\n")[0][:80]
            raise ValueError(f"its tests define {entry_point} themselves, in {line!r}: leave that out of them")


def _refuse_uncalled(tree: ast.Module) -> None:
    """Functions of tests that do nothing when they are called, and those and classes that nothing calls."""
    for one in [one for one in tree.body if isinstance(one, _DEFINITIONS)]:
        is_called = one.name in used_names(other for other in tree.body if other is not one)
        if _is_of_tests(one) and not is_called:
            raise ValueError(f"nothing calls {one.name} of its tests: call it, or write `def test_all():` for it")
        is_lazy = isinstance(one, ast.AsyncFunctionDef) or any(isinstance(node, _YIELDS) for node in _own_nodes(one))
        if is_lazy and _is_called_bare(tree, one.name):
            raise ValueError(f"{one.name} of its tests is async or yields, so a call runs nothing: write it without")


def _is_of_tests(definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    if isinstance(definition, ast.ClassDef):
        return any(isinstance(one, _FUNCTIONS) and one.name.startswith("test") for one in definition.body)
    return definition.name.startswith("test")


def _is_called_bare(tree: ast.Module, name: str) -> bool:
    """Whether a statement of the module is but the call of a function."""
    calls = (one.value for one in tree.body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == name for call in calls)


def _own_nodes(definition: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a definition, without those of functions within."""
    for child in ast.iter_child_nodes(definition):
        yield child
        if not isinstance(child, (*_FUNCTIONS, ast.Lambda)):
            yield from _own_nodes(child)


def _run_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes of what the module runs, and of the definitions whose names that reads."""
    definitions = [one for one in tree.body if isinstance(one, _DEFINITIONS)]
    reached = [one for one in tree.body if one not in definitions]
    for statement in reached:  # which grows
        names = used_names([statement])
        reached.extend([one for one in definitions if one.name in names and one not in reached])
    for statement in reached:
        yield from ast.walk(statement)


def _tells(node: ast.AST, entry_point: str | None) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        return name is not None and (name == entry_point or name.startswith("assert"))
    return isinstance(node, ast.Raise)
