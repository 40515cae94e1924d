"""The program in what a policy wrote: out of fences or bare, behind its prompt where it continues one."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from overthink.tasks.domains.code.continuing import OpenFunction, indent_of, open_function
from overthink.tasks.domains.code.fences import PYTHON, fenced_blocks
from overthink.tasks.domains.code.module_names import bound, defines
from overthink.tasks.domains.code.python_syntax import is_module, module_of, runnable
from overthink.tasks.domains.code.run_on import futures_first, with_helpers, without_idle, without_run_on

_BEGIN = re.compile(r"^(?:(?:def|async def|class|import|from)\b|@)", re.MULTILINE)
MOST_BLOCKS = 50  # the last
MOST_BEGINS = 50  # the first lines that may begin a program behind prose
_FENCE_BEGUN = "```python\n"  # as by a recipe's prefill
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_MARK = re.compile(r"^[ \t]*\[(?:(?P<begin>BEGIN|PYTHON)|DONE|/PYTHON)\][ \t]*$", re.MULTILINE)  # of prompts with shots
_BOM = re.compile("^\ufeff", re.MULTILINE)
_RETURN = re.compile(r"^[ \t]*(?:return|yield|raise)\b", re.MULTILINE)


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
        text = _MARK.sub(lambda mark: _FENCE_BEGUN.strip() if mark["begin"] else "```", _BOM.sub("", text))
        return next((program for found in self._found_in(text) for program in found), None)

    def _found_in(self, text: str) -> Iterator[Iterator[str]]:
        """The programs of each way to read it, the best first."""
        head = _before_fences(text)
        if indent_of(head):
            yield self._continued([head])
        for codes in _readings(text):
            yield from (way(codes) for way in (self._alone, self._continued, self._imported, self._other))
        behind = _behind_prose(text)  # which a completion does not begin with
        yield from (way([code]) for way in (self._alone, self._imported, self._other) for code in behind)

    def _alone(self, codes: list[str]) -> Iterator[str]:
        """Code that defines what is asked for, behind the prompt's imports and helpers: the last first."""
        return self._whole(codes, self._is_there)

    def _imported(self, codes: list[str]) -> Iterator[str]:
        """Code that imports what is asked for, or may."""
        return self._whole(codes, self._may_import)

    def _whole(self, codes: list[str], is_one: Callable[[list[ast.stmt]], bool]) -> Iterator[str]:
        for place in reversed(range(len(codes))):
            program = runnable(codes[place])
            if program is None or not is_one(module_of(program).body):
                continue
            program = without_idle(program)
            if self.entry_point is not None:
                program = without_run_on(program, self.entry_point, self.used, once=False)
            before = self._opened.preamble if self._opened else self.prompt if is_module(self.prompt) else ""
            yield futures_first(with_helpers(f"{before}\n{program}".lstrip("\n"), codes[:place]))

    def _continued(self, codes: list[str]) -> Iterator[str]:
        """Code that continues the prompt's function: the last that returns, else the first."""
        opened = self._opened
        if opened is None:
            return
        returning = [place for place, code in enumerate(codes) if _RETURN.search(code)]
        others = [place for place in range(len(codes)) if place not in returning]
        for place in (*reversed(returning), *others):
            program = opened.continued(codes[place], self.used)
            if program is not None:
                yield futures_first(with_helpers(program, codes[:place]))

    def _other(self, codes: list[str]) -> Iterator[str]:
        """A program that defines something else, as under another name: the last first."""
        for code in reversed(codes):
            program = runnable(code)
            if program is not None and any(isinstance(one, _DEFINITIONS) for one in module_of(program).body):
                yield without_idle(program)

    @cached_property
    def _opened(self) -> OpenFunction | None:
        return open_function(self.prompt)

    def _is_there(self, body: list[ast.stmt]) -> bool:
        """Whether a program defines the function; of one that reads input, whether it calls anything."""
        if self.entry_point is None:
            return any(isinstance(node, ast.Call) for one in body for node in ast.walk(one))
        return any(defines(one, self.entry_point) for one in body)

    def _may_import(self, body: list[ast.stmt]) -> bool:
        """Whether a program imports the function."""
        names = {name for one in body if isinstance(one, ast.Import | ast.ImportFrom) for name in bound(one)}
        return not names.isdisjoint({self.entry_point, "*"})


def _before_fences(text: str) -> str:
    """What stands before the first fence of a text that has one: mostly prose, or the end of a block begun before."""
    first = _FENCE.search(text)
    return text[: first.start()] if first else ""


def _behind_prose(text: str) -> list[str]:
    """The programs that begin at a line of a text that may begin one, each behind the end of the one before."""
    found: list[str] = []
    end = 0
    for begin in [match.start() for match in _BEGIN.finditer(text)][:MOST_BEGINS]:
        program = runnable(text[begin:]) if begin >= end else None
        if program is not None:
            found.append(program)
            end = begin + len(program)
    return found


def _readings(text: str) -> Iterator[list[str]]:
    """What may be code, the best reading first: blocks between fences, one whose fence was begun before, bare text."""
    if "```" in text or "~~~" in text:
        yield _python_blocks(text)
        yield _python_blocks(_FENCE_BEGUN + text)
    yield [text]


def _python_blocks(text: str) -> list[str]:
    return [block.text for block in fenced_blocks(text) if block.language in PYTHON][-MOST_BLOCKS:]
