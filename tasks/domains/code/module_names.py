"""Which names the statements of a module bind, change, read and run, be they inside `if`, `try` or a loop."""

import ast
import symtable
from collections.abc import Collection, Iterable, Iterator

from overthink.tasks.domains.code.python_syntax import module_of, used_names, without_warnings

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LEAVES = ("exit", "quit", "input", "__name__")  # what only a program that is run by hand has use for


def run_at_once(statement: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement that Python evaluates when it meets it: not the bodies of functions and classes."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        children = ast.iter_child_nodes(node)
        if isinstance(node, _DEFINITIONS):
            inside = set(map(id, node.body))
            waiting += [child for child in children if id(child) not in inside]
        else:
            waiting += children


def bound(statement: ast.stmt) -> set[str]:
    """The names of the module that a statement defines, imports or assigns to."""
    found: set[str] = set()
    for node in run_at_once(statement):
        if isinstance(node, _DEFINITIONS):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def changed(statement: ast.stmt) -> set[str]:
    """The names whose objects it changes: `T[3] = 9`, `f.memo = {}`, `T.append(9)`, `@f.register`, `class B(A)`."""
    found = _changed_by(run_at_once(statement))
    if isinstance(statement, _DEFINITIONS):
        bases = statement.bases if isinstance(statement, ast.ClassDef) else []
        found |= used_names([*statement.decorator_list, *bases])
    return found


def changed_when_called(statement: ast.stmt) -> set[str]:
    """The names that a function changes or binds in the module each time that it is called; none of what is none."""
    if not isinstance(statement, ast.FunctionDef):
        return set()
    nodes = list(ast.walk(statement))
    declared = (node.names for node in nodes if isinstance(node, ast.Global))
    return _changed_by(nodes).union(*declared)


def called_alone(statement: ast.stmt) -> str | None:
    """`f` of a statement `f(1)`."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else None


def _changed_by(nodes: Iterable[ast.AST]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            found |= _owner(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found |= _owner(node.value.func) if isinstance(node.value.func, ast.Attribute) else set()
    return found


def _owner(node: ast.expr) -> set[str]:
    """`T` of `T.a[1].b`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def is_use(statement: ast.stmt, name: str) -> bool:
    """Whether it calls `name` at once, reads standard input, leaves the program, or is for a run by hand."""
    return are_a_use(list(run_at_once(statement)), name)


def are_a_use(nodes: Collection[ast.AST], name: str) -> bool:
    """See `is_use`; here of any nodes."""
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    read = {node.id for node in nodes if isinstance(node, ast.Name)}
    of_sys = {node.attr for node in nodes if isinstance(node, ast.Attribute) and _owner(node) == {"sys"}}
    return name in called or bool(read.intersection(_LEAVES) or of_sys & {"stdin", "argv", "exit"})


def defines(statement: ast.stmt, name: str) -> bool:
    """Whether a statement gives `name` its first value, by a definition or an assignment, not an import."""
    nodes = list(run_at_once(statement))
    if any(isinstance(node, _DEFINITIONS) and node.name == name for node in nodes):
        return True
    stored = any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name for node in nodes)
    return stored and not is_use(statement, name)


def is_idle(statement: ast.stmt) -> bool:
    """Whether it does nothing, as a word of prose or a mark between blocks does that happens to be Python."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value is None
    doing = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return isinstance(statement, ast.Expr) and not any(isinstance(node, doing) for node in ast.walk(statement))


def globals_read(code: str | ast.stmt) -> set[str]:
    """The names of the module that code reads; all its names where it is too deep to tell."""
    try:
        text = code if isinstance(code, str) else ast.unparse(code)
        with without_warnings():
            table = symtable.symtable(text, "code", "exec")
        return _read_in(table)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return used_names([module_of(code) if isinstance(code, str) else code])


def names_missing(code: str) -> set[str]:
    """The names of the module that code reads and does not itself bind."""
    return globals_read(code).difference(*map(bound, module_of(code).body))


def _read_in(table: symtable.SymbolTable) -> set[str]:
    is_module = table.get_type() == "module"
    own = {one.get_name() for one in table.get_symbols() if one.is_referenced() and (is_module or one.is_global())}
    return own.union(*map(_read_in, table.get_children()))
