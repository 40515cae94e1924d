"""The program in what a policy wrote: out of fences or bare, behind its prompt where it continues one."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from overthink.tasks.domains.code.continuing import OpenFunction, open_function
from overthink.tasks.domains.code.fences import PYTHON, fenced_blocks
from overthink.tasks.domains.code.python_syntax import defines, is_module, parsed, runnable, without_uses

_BEGIN = re.compile(r"^(?:(?:def|async def|class|import|from)\b|@)", re.MULTILINE)
MOST_BLOCKS = 50  # the last
_FENCE_BEGUN = "```python\n"  # as by a recipe's prefill
_FUTURE = re.compile(r"^from __future__ .*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a function of this name, None for a program that reads standard input.

    `prompt` is code that a text may continue; what is no code is no prompt.
    """

    entry_point: str | None
    prompt: str

    def program_in(self, text: str) -> str | None:
        """The program in a text; None where it holds none."""
        for codes in _readings(text):
            for way in (self._alone, self._continued, self._other):
                found = next((program for code in reversed(codes) if (program := way(code)) is not None), None)
                if found is not None:
                    return found
        return None

    def _alone(self, code: str) -> str | None:
        """Code that defines what is asked for, behind the prompt's imports and helpers."""
        program = runnable(code)
        if program is None or not self._is_there(program):
            return None
        if self.entry_point is not None:
            program = without_uses(program, self.entry_point, once=False)
        before = self._opened.preamble if self._opened else self.prompt if is_module(self.prompt) else ""
        return "".join(_FUTURE.findall(program)) + f"{before}\n{_FUTURE.sub('', program)}".lstrip("\n")

    def _continued(self, code: str) -> str | None:
        """Code that continues the prompt's function."""
        return None if self._opened is None else self._opened.continued(code)

    def _other(self, code: str) -> str | None:
        """A program that defines something else, as under another name."""
        program = runnable(code)
        return program if program is not None and is_module(program) else None

    @cached_property
    def _opened(self) -> OpenFunction | None:
        return open_function(self.prompt)

    def _is_there(self, program: str) -> bool:
        """Whether a program defines the function; of one that reads input, whether it calls anything."""
        tree = parsed(program)
        if tree is None or self.entry_point is None:
            return tree is not None and any(isinstance(node, ast.Call) for node in ast.walk(tree))
        return any(defines(statement, self.entry_point) for statement in tree.body)


def _readings(text: str) -> Iterator[list[str]]:
    """What may be code, the best reading first: blocks between fences, one whose fence was begun before, bare text."""
    if "```" in text or "~~~" in text:
        yield _python_blocks(text)
        yield _python_blocks(_FENCE_BEGUN + text)
    yield [text]
    begin = _BEGIN.search(text)
    if begin is not None:
        yield [text[begin.start() :]]


def _python_blocks(text: str) -> list[str]:
    return [block.text for block in fenced_blocks(text) if block.language in PYTHON][-MOST_BLOCKS:]
