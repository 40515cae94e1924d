"""The tests of a row as data have them: Python text, a list of statements, or a list of inputs with their outputs."""

import ast
import builtins
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overthink.tasks.domains.code.python_syntax import bound_names, is_run, module_of, parsed, used_names

_OWN_CHECK = "check_candidate"


@dataclass(frozen=True)
class Case:
    """What a program reads on its standard input, and what it shall write."""

    input: str
    output: str


Tests = str | tuple[str, ...] | tuple[Case, ...]


def tests_of(value: Any, name: str) -> Tests | None:
    """The tests of a field, None for none. Raises ValueError for what is no form of tests, or no Python."""
    if value is None or value in ("", [], ()):
        return None
    if isinstance(value, str):
        return _python(value, name)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(_python(one, name) for one in value)
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        return tuple(Case(_text(one, "input", name), _text(one, "output", name)) for one in value)
    raise ValueError(f"its {name} are neither Python, a list of statements nor a list of inputs and outputs")


def lines_of_text(value: Any, name: str) -> str:
    """A text, or a list of lines as one. Raises ValueError for anything else."""
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its {name} is a {type(value).__name__}: a text is wanted")
    return value or ""


def _python(text: str, name: str) -> str:
    if parsed(text, len(text)) is None:
        line = text.strip().split("\n")[0][:80]
        raise ValueError(f"its {name} are no Python that is read, at {line!r}: mend them, or leave the column out")
    return text


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
    """Statements that return where a program is right.

    What nothing calls is called: a function `check` with the function that is asked for, and functions `test…` without
    arguments. Where `check` calls `check` itself, it means the program's. Raises ValueError where nothing runs then.
    """
    text = tests if isinstance(tests, str) else "\n".join(tests)
    body = module_of(text).body
    for function in [one for one in body if isinstance(one, ast.FunctionDef)]:
        if function.name in used_names(one for one in body if one is not function):
            continue
        if function.name == "check" and function.args.args and entry_point is not None:
            name = _OWN_CHECK if "check" in used_names([function]) else "check"
            text = text.replace("def check(", f"def {name}(", 1) + f"\n{name}({entry_point})"
        elif function.name.startswith("test") and not function.args.args:
            text = f"{text}\n{function.name}()"
    if not any(is_run(statement) for statement in module_of(text).body):
        raise ValueError("its tests only define what nothing calls: add assertions, or the entry_point for `check`")
    return text


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
    """What comes before the tests, and the tests one by one: each assertion of a text is one."""
    if not isinstance(tests, str):
        return "", tuple(tests)
    body = module_of(tests).body
    own = tuple(ast.unparse(one) for one in body if isinstance(one, ast.Assert))
    if not own:
        return "", (whole_text(tests, entry_point),)
    return "\n".join(ast.unparse(one) for one in body if not isinstance(one, ast.Assert)), own


def calls_in(tests: Sequence[str], entry_point: str) -> tuple[str, ...]:
    """The different calls of a function in some tests, in their order."""
    return tuple(dict.fromkeys(call for test in tests for call in _calls(test, entry_point)))


def _calls(test: str, entry_point: str) -> Iterator[str]:
    nodes = list(ast.walk(parsed(test) or ast.Module([], [])))
    for node in nodes:
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry_point
        if is_call and not used_names([node]) & bound_names(nodes):  # as in `all(f(n) for n in range(9))`
            yield ast.unparse(node)


def called_first(tests: Tests) -> str | None:
    """The function that tests are about, where data do not say: the first that they call and do not have themselves."""
    texts = [tests] if isinstance(tests, str) else [one for one in tests if isinstance(one, str)]
    nodes = [node for text in texts for node in ast.walk(module_of(text))]
    own = bound_names(nodes) | set(dir(builtins))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    return next((one.id for one in called if isinstance(one, ast.Name) and one.id not in own), None)
