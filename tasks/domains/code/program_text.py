"""The program in what a policy wrote: out of fences or bare, behind its prompt where it continues one."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from overthink.tasks.domains.code.continuing import OpenFunction, open_function
from overthink.tasks.domains.code.fences import PYTHON, fenced_blocks
from overthink.tasks.domains.code.python_syntax import defined_names, is_module, parsed, runnable
from overthink.tasks.domains.code.run_on import without_run_on

_BEGIN = re.compile(r"^(?:(?:def|async def|class|import|from)\b|@)", re.MULTILINE)
MOST_BLOCKS = 50  # the last
_FENCE_BEGUN = "```python\n"  # as by a recipe's prefill
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUTURE = re.compile(r"^from __future__ .*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a function of this name, None for a program that reads standard input.

    `prompt` is code that a text may continue; what is no code is no prompt. `used` are the names that tests read: a few
    of MBPP are about a helper that the solution defines behind the function of the prompt.
    """

    entry_point: str | None
    prompt: str
    used: frozenset[str] = frozenset()

    def program_in(self, text: str) -> str | None:
        """The program in a text; None where it holds none."""
        ways = (self._alone, self._continued, self._other)
        tries = [(way, codes) for codes in _readings(text) for way in ways]
        begin = _BEGIN.search(text)
        if begin is not None:  # behind prose, which a completion does not begin with
            tries += [(way, [text[begin.start() :]]) for way in (self._alone, self._other)]
        programs = (way(code) for way, codes in tries for code in reversed(codes))
        return next((program for program in programs if program is not None), None)

    def _alone(self, code: str) -> str | None:
        """Code that defines what is asked for, behind the prompt's imports and helpers."""
        program = runnable(code)
        if program is None or not self._is_there(program):
            return None
        if self.entry_point is not None:
            program = without_run_on(program, self.entry_point, self.used, once=False)
        before = self._opened.preamble if self._opened else self.prompt if is_module(self.prompt) else ""
        return "".join(_FUTURE.findall(program)) + f"{before}\n{_FUTURE.sub('', program)}".lstrip("\n")

    def _continued(self, code: str) -> str | None:
        """Code that continues the prompt's function."""
        opened = self._opened
        return None if opened is None else opened.continued(code, self.used)

    def _other(self, code: str) -> str | None:
        """A program that defines something else, as under another name."""
        program = runnable(code)
        tree = None if program is None else parsed(program)
        return program if tree is not None and any(isinstance(one, _DEFINITIONS) for one in tree.body) else None

    @cached_property
    def _opened(self) -> OpenFunction | None:
        return open_function(self.prompt)

    def _is_there(self, program: str) -> bool:
        """Whether a program defines the function; of one that reads input, whether it calls anything."""
        tree = parsed(program)
        if tree is None or self.entry_point is None:
            return tree is not None and any(isinstance(node, ast.Call) for node in ast.walk(tree))
        return any(self.entry_point in defined_names(statement) for statement in tree.body)


def _readings(text: str) -> Iterator[list[str]]:
    """What may be code, the best reading first: blocks between fences, one whose fence was begun before, bare text."""
    if "```" in text or "~~~" in text:
        yield _python_blocks(text)
        yield _python_blocks(_FENCE_BEGUN + text)
    yield [text]


def _python_blocks(text: str) -> list[str]:
    return [block.text for block in fenced_blocks(text) if block.language in PYTHON][-MOST_BLOCKS:]
