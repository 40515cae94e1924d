"""Examples in a docstring, `>>> f(1)` with the result below, as tests."""

import ast
from doctest import DocTestParser, Example

from overthink.tasks.domains.code.python_syntax import parsed


def example_tests(docstring: str) -> tuple[str, ...]:
    """An assertion for each example that has a result, and none for what ends in an exception.

    A result that is a literal is compared by value, one shown as a call or in angle brackets by how it is shown;
    any other is what the function prints, and no test.
    """
    try:
        examples = DocTestParser().get_examples(docstring)
    except ValueError:  # a prompt that no one ran
        return ()
    return tuple(test for one in examples if (test := _test(one)) is not None)


def _test(example: Example) -> str | None:
    tree, shown = parsed(example.source), example.want.strip()
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    if not shown or example.exc_msg is not None:
        return None
    source = ast.unparse(tree.body[0])
    try:
        ast.literal_eval(shown)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        is_a_result = shown.lstrip("[({").startswith("<") or _is_call(shown)
        return f"assert repr({source}) == {shown!r}" if is_a_result else None
    return f"assert ({source}) == ({shown})"


def _is_call(shown: str) -> bool:
    tree = parsed(shown)
    return tree is not None and any(isinstance(node, ast.Call) for node in ast.walk(tree))
