"""How a prompt that ends in an open function and a completion become a program."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from overthink.tasks.domains.code.module_names import bound, is_idle, is_use
from overthink.tasks.domains.code.python_syntax import is_run, lines_of, parsed, runnable
from overthink.tasks.domains.code.run_on import without_run_on

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
USUAL = "    "


@dataclass(frozen=True)
class OpenFunction:
    """The function that a prompt leaves open, which is its last: mostly its body is a docstring, or nothing.

    `before` are the lines of what stands before it (imports, helpers), `head` those up to its signature, `body` those
    of its body so far, and `indent` is their indentation. `name` is its name, or that of the class it is in.
    `docstring` is its own, empty without one.
    """

    name: str
    before: tuple[str, ...]
    head: tuple[str, ...]
    body: tuple[str, ...]
    indent: str
    docstring: str

    @property
    def preamble(self) -> str:
        """The prompt's imports and helpers."""
        return "\n".join(self.before)

    def continued(self, completion: str, wanted: Collection[str]) -> str | None:
        """The program that a completion makes of the prompt; None where it writes no statement of the function.

        `wanted` are the names that tests read, mostly that of this function.

        The completion stays as it is, and the prompt's body takes its indentation, be it blanks or tabs. A completion
        without one is a body written apart, or has lost that of its first line.
        """
        indent = indent_of(completion)
        if not indent and self._is_apart(completion):
            return None
        bodies = [completion] if indent else [*_indented(completion, self.indent)]
        for body in bodies:
            found = self._with(body, indent or self.indent)
            if found is not None:
                return without_run_on(found, self.name, wanted, once=True)
        return None

    def _is_apart(self, code: str) -> bool:
        """Whether it is no body of the function but a module: one that has it, uses it or only defines."""
        tree = parsed(code)
        if tree is None:
            return False
        has = any(self.name in bound(one) or _calls(one, self.name) for one in tree.body)
        return has or not any(is_run(one) for one in tree.body)

    def _with(self, completion: str, indent: str) -> str | None:
        body = [indent + line[len(self.indent) :] if line.startswith(self.indent) else line for line in self.body]
        lines = [*self.before, *self.head, *body]
        text = runnable("\n".join([*lines, completion]))
        tree = None if text is None else parsed(text)
        if text is None or tree is None or text.count("\n") < len(lines):
            return None
        place = len(self.before) + len(self.head)
        before = [node for node in ast.walk(tree) if isinstance(node, FunctionNode) and node.lineno <= place]
        own = max(before, key=lambda node: node.lineno)
        is_longer = any(statement.lineno > len(lines) and not is_idle(statement) for statement in own.body)
        return text if is_longer else None


def indent_of(code: str) -> str:
    """That of its first line that is neither blank nor a comment."""
    first = next((line for line in code.split("\n") if line.strip() and line.strip()[0] != "#"), "")
    return first[: len(first) - len(first.lstrip())]


def _calls(statement: ast.stmt, name: str) -> bool:
    """Whether a statement that is no compound one runs `name`."""
    return isinstance(statement, ast.Expr | ast.Assign | ast.Assert) and is_use(statement, name)


def _indented(completion: str, indent: str) -> Iterator[str]:
    """All lines indented; then only the first."""
    yield "\n".join(indent + line if line.strip() else line for line in completion.split("\n"))
    yield indent + completion.lstrip()


def open_function(prompt: str) -> OpenFunction | None:
    """The last function of a prompt, where that ends in one; None for other text."""
    prompt = _without_stub(prompt.rstrip())
    tree, is_bare = parsed(prompt), False
    if tree is None:
        tree, is_bare = parsed(f"{prompt} pass"), True
    outer, last = _last_of(tree)
    if outer is None or last is None:
        return None
    name, first = outer.name, lines_of(outer)[0]
    lines = prompt.split("\n")
    end = len(lines) if is_bare else last.body[0].lineno - 1
    indent = " " * last.col_offset + USUAL if is_bare else lines[end][: last.body[0].col_offset]
    parts = tuple(lines[: first - 1]), tuple(lines[first - 1 : end]), tuple(lines[end:])
    return OpenFunction(name, *parts, indent, ast.get_docstring(last) or "")


def _last_of(tree: ast.Module | None) -> tuple[FunctionNode | ast.ClassDef | None, FunctionNode | None]:
    """The last statement of a module where that is a function or a class, and the function that ends it."""
    outer = tree.body[-1] if tree is not None and tree.body else None
    last = outer
    while isinstance(last, ast.ClassDef):
        last = last.body[-1]
    if isinstance(outer, FunctionNode | ast.ClassDef) and isinstance(last, FunctionNode):
        return outer, last
    return None, None


def _without_stub(prompt: str) -> str:
    """A prompt without the `pass`, `...` or `raise NotImplementedError` that stands where the body shall be."""
    _, function = _last_of(parsed(prompt))
    if function is None or not _is_stub(function.body[-1]):
        return prompt
    stub = function.body[-1]
    lines = prompt.split("\n")[: stub.lineno]
    return "\n".join([*lines[:-1], lines[-1].encode()[: stub.col_offset].decode()]).rstrip()


def _is_stub(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return statement.value.value is ...
    return isinstance(statement, ast.Pass)
