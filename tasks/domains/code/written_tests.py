"""The tests of a row as data have them: Python text, a list of statements, or a list of inputs with their outputs."""

import ast
import builtins
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from overthink.tasks.domains.code.python_syntax import bound_names, is_run, module_of, parsed, used_names

DEEPEST = 200  # levels of a syntax tree: what is deeper, Python may fail to read where more is on its stack
_OWN_CHECK = "check_candidate"
_CHECK = re.compile(r"^def\s+check\s*\(", re.MULTILINE)
_BY_ITSELF = '__name__ = "__main__"\n'  # so that what stands behind `if __name__ == "__main__":` is run


@dataclass(frozen=True)
class Case:
    """What a program reads on its standard input, and what it shall write."""

    input: str
    output: str


Tests = str | tuple[str, ...] | tuple[Case, ...]


def tests_of(value: Any, name: str) -> Tests | None:
    """The tests of a field, None for none. Raises ValueError for what is no form of tests, or no Python."""
    value = _as_cases(decoded(value), name)
    if value is None or value in ("", [], ()):
        return None
    if isinstance(value, str):
        return python_of(value, name)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(python_of(one, name) for one in value)
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        return tuple(Case(_text(one, "input", name), _text(one, "output", name)) for one in value)
    raise ValueError(f"its {name} are neither Python, a list of statements nor a list of inputs and outputs")


def decoded(value: Any) -> Any:
    """A value as it is, but for a list or a mapping that is written as JSON, as a CSV file has them."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value.strip() and value if isinstance(value, str) else value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _as_cases(value: Any, name: str) -> Any:
    """A mapping with lists of inputs and outputs, as APPS has it, as a list of cases; any other value as it is."""
    if not isinstance(value, Mapping):
        return value
    inputs, outputs = value.get("inputs"), value.get("outputs")
    if "fn_name" in value:
        raise ValueError(f"its {name} call the function {value['fn_name']!r}: write them as assertions")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError(f"its {name} are a mapping without lists `inputs` and `outputs` of one length")
    return [{"input": one, "output": other} for one, other in zip(inputs, outputs, strict=True)]


def lines_of_python(value: Any, name: str) -> str:
    """Python as a text, or a list of lines as one. Raises ValueError for anything else."""
    value = decoded(value)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = "\n".join(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its {name} is a {type(value).__name__}: a text is wanted")
    return python_of(value or "", name)


def python_of(text: str, name: str) -> str:
    """A text that is Python. Raises ValueError for any other."""
    tree = parsed(text, len(text))
    if tree is None or _depth(tree) > DEEPEST:
        line = text.strip().split("\n")[0][:80]
        raise ValueError(f"its {name} are no Python that is read, at {line!r}: mend them, or leave the column out")
    return text


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _text(case: Mapping[str, Any], part: str, name: str) -> str:
    if not isinstance(case.get(part), str):
        raise ValueError(f"one of its {name} has no text {part!r}: a case is written {{input: …, output: …}}")
    return str(case[part])


def written(tests: Tests) -> str:
    """Tests as one text, which is the reference of their problem."""
    if isinstance(tests, str):
        return tests
    if all(isinstance(one, str) for one in tests):
        return "\n".join(map(str, tests))
    return json.dumps([vars(one) for one in tests], ensure_ascii=False)


def whole_text(tests: str | Sequence[str], entry_point: str | None) -> str:
    """Statements that return where a program is right, with calls of what nothing calls.

    Raises ValueError where nothing runs then.
    """
    text = "\n".join(with_calls([tests] if isinstance(tests, str) else tests, entry_point))
    if not any(is_run(statement) for statement in module_of(text).body):
        raise ValueError("its tests only define what nothing calls: add assertions, or the entry_point for `check`")
    return _BY_ITSELF + text if "__name__" in text else text


def with_calls(pieces: Sequence[str], entry_point: str | None) -> list[str]:
    """Pieces of a text of tests, and calls of what nothing calls.

    A function `check` is called with the function that is asked for, and functions `test…` without arguments. Where
    `check` calls `check` itself, or is asked for, that means the program's.
    """
    body = module_of("\n".join(pieces)).body
    calls: list[str] = []
    for function in [one for one in body if isinstance(one, ast.FunctionDef)]:
        if function.name in used_names(one for one in body if one is not function):
            continue
        if function.name == "check" and function.args.args and entry_point is not None:
            name = _OWN_CHECK if "check" in {entry_point, *used_names([function])} else "check"
            pieces = [_CHECK.sub(f"def {name}(", piece) for piece in pieces]
            calls.append(f"{name}({entry_point})")
        elif function.name.startswith("test") and not function.args.args:
            calls.append(f"{function.name}()")
    return [*pieces, *calls]


def with_imports(setup: str, tests: Sequence[str]) -> str:
    """What comes before tests, behind the modules of the standard library that these name and nobody imports."""
    nodes = [node for text in (setup, *tests) if (tree := parsed(text, len(text))) for node in ast.walk(tree)]
    owners = [node.value for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    asked = Counter(owner.id for owner in owners if isinstance(owner, ast.Name) and owner.id in sys.stdlib_module_names)
    mentioned = Counter(node.id for node in nodes if isinstance(node, ast.Name))
    imported = bound_names([node for node in nodes if not isinstance(node, ast.Name)])
    missing = [name for name in sorted(asked) if asked[name] == mentioned[name] and name not in imported]
    return "\n".join([*(f"import {name}" for name in missing), setup])


def apart(tests: str | Sequence[str], entry_point: str | None) -> tuple[str, tuple[str, ...]]:
    """What comes before the tests, and the tests one by one: each statement that asserts something is one.

    A test begins with the other statements before it, so that it finds what they make as they left it there.
    """
    pieces = [ast.unparse(one) for one in module_of(tests).body] if isinstance(tests, str) else list(tests)
    before: list[str] = []
    own: list[str] = []
    for piece in pieces:
        if _asserts(piece):
            own.append("\n".join([*before, piece]))
        else:
            before.append(piece)
    return ("\n".join(before), tuple(own)) if own else ("", (whole_text(tests, entry_point),))


def _asserts(piece: str) -> bool:
    """Whether a statement asserts something as it runs, outside of functions; what is no Python fails as a test."""
    tree = parsed(piece)
    if tree is None:
        return True
    left: list[ast.AST] = [tree]
    while left:
        one = left.pop()
        if isinstance(one, ast.Assert):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            left += ast.iter_child_nodes(one)
    return False


def calls_in(tests: Sequence[str], entry_point: str) -> tuple[str, ...]:
    """The different calls of a function in some tests, in their order."""
    return tuple(dict.fromkeys(call for test in tests for call in _calls(test, entry_point)))


def _calls(test: str, entry_point: str) -> Iterator[str]:
    nodes = list(ast.walk(parsed(test) or ast.Module([], [])))
    for node in nodes:
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry_point
        if is_call and not used_names([node]) & bound_names(nodes):  # as in `all(f(n) for n in range(9))`
            yield ast.unparse(node)


def asked_function(fields: Mapping[str, Any], tests: Tests | None, setup: str) -> str | None:
    """The entry_point that a row names, or that its tests are about. Raises ValueError for what is no name."""
    named = fields.get("entry_point")
    if named in (None, "") and not isinstance(named, bool):
        return called_first(tests, setup) if tests else None
    if not isinstance(named, str) or not named.strip().isidentifier() or iskeyword(named.strip()):
        raise ValueError(f"its entry_point {named!r} is no name of a function")
    return named.strip()


def called_first(tests: Tests, setup: str) -> str | None:
    """The function that tests are about, where data do not say: the first that they call and do not have themselves.

    A builtin is meant where they call no other function.
    """
    texts = [tests] if isinstance(tests, str) else [one for one in tests if isinstance(one, str)]
    nodes = [node for text in texts for node in ast.walk(module_of(text))]
    own = bound_names([*nodes, *ast.walk(module_of(setup))])
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [one.id for one in called if isinstance(one, ast.Name) and one.id not in own]
    return next((name for name in names if name not in dir(builtins)), next(iter(names), None))
