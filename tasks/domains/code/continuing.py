"""How a prompt that ends in an open function and a completion become a program."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from overthink.tasks.domains.code.python_syntax import lines_of, parsed, runnable
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
        first = next((line for line in completion.split("\n") if line.strip() and line.strip()[0] != "#"), "")
        indent = first[: len(first) - len(first.lstrip())]
        bodies = [completion] if indent else [*_indented(completion, self.indent)]
        for body in bodies:
            found = self._with(body, indent or self.indent)
            if found is not None:
                return without_run_on(found, self.name, wanted, once=True)
        return None

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
        is_longer = any(statement.lineno > len(lines) for statement in own.body)
        return text if is_longer else None


def _indented(completion: str, indent: str) -> Iterator[str]:
    """All lines indented; then only the first."""
    yield "\n".join(indent + line if line.strip() else line for line in completion.split("\n"))
    yield indent + completion.lstrip()


def open_function(prompt: str) -> OpenFunction | None:
    """The last function of a prompt, where that ends in one; None for other text."""
    prompt = prompt.rstrip()
    tree, is_bare = parsed(prompt), False
    if tree is None:
        tree, is_bare = parsed(f"{prompt} pass"), True
    last = tree.body[-1] if tree is not None and tree.body else None
    if not isinstance(last, FunctionNode | ast.ClassDef):
        return None
    name, first = last.name, lines_of(last)[0]
    while isinstance(last, ast.ClassDef):
        last = last.body[-1]
    if not isinstance(last, FunctionNode):
        return None
    lines = prompt.split("\n")
    end = len(lines) if is_bare else last.body[0].lineno - 1
    indent = " " * last.col_offset + USUAL if is_bare else lines[end][: last.body[0].col_offset]
    parts = tuple(lines[: first - 1]), tuple(lines[first - 1 : end]), tuple(lines[end:])
    return OpenFunction(name, *parts, indent, ast.get_docstring(last) or "")
