"""The suites that a problem has, by its fields."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from overthink.tasks.domains.code.continuing import open_function
from overthink.tasks.domains.code.docstring_examples import example_tests
from overthink.tasks.domains.code.module_names import names_missing
from overthink.tasks.domains.code.program_text import Wanted
from overthink.tasks.domains.code.python_syntax import is_module
from overthink.tasks.domains.code.suites import ApartSuite, CasesSuite, InputsSuite, PlannedSuite, WholeSuite
from overthink.tasks.domains.code.telling import refuse_silent
from overthink.tasks.domains.code.written_tests import (
    Case,
    Tests,
    apart,
    calls_in,
    lines_of_python,
    tests_of,
    whole_text,
    with_imports,
)
from overthink.tasks.domains.program_domain import Suite
from overthink.tasks.records import Problem

NO_PROGRAM = ""


def prompt_of(problem: Problem) -> str:
    """The code that a completion continues: of the field, or the question where that is code; else nothing."""
    texts = (problem.fields.get("prompt"), problem.question)
    return next((text for text in texts if isinstance(text, str) and _is_code(text)), "")


def _is_code(text: str) -> bool:
    return open_function(text) is not None or is_module(text)


class ProblemSuites:
    """The suites of one problem, for any program. Raises ValueError saying which field is not what it should be."""

    def __init__(self, problem: Problem, cpu_seconds: int) -> None:
        fields = problem.fields
        self._cpu_seconds, self._setup = cpu_seconds, lines_of_python(fields.get("test_setup"), "test_setup")
        self._entry_point: str | None = fields.get("entry_point")
        self._prompt = prompt_of(problem)
        self.hidden = tests_of(fields.get("tests"), "tests")
        self._public = tests_of(fields.get("public_tests"), "public_tests") or _examples(self._prompt)
        self._generated = _texts(fields.get("generated_tests"), "generated_tests")
        self._inputs = _texts(fields.get("inputs"), "inputs") or self._own_inputs()

    @cached_property
    def hidden_text(self) -> str:
        """The hidden tests as they are run; empty for inputs with outputs."""
        if self.hidden is None or _cases(self.hidden):
            return ""
        text = whole_text(_python(self.hidden), self._entry_point)
        refuse_silent(self._setup, text, self._entry_point)
        return f"{with_imports(self._setup, [text])}\n{text}"

    @cached_property
    def wanted(self) -> Wanted:
        """What a text is read for: a program with the function, and with helpers that hidden tests read."""
        names = frozenset(names_missing(self.hidden_text))
        used = names if self._entry_point is None else names | {self._entry_point}
        return Wanted(self._entry_point, self._prompt, used)

    def of(self, program: str) -> list[PlannedSuite]:
        """What is run of a program."""
        return [replace(suite, program=program) for suite in self._planned]

    @cached_property
    def _planned(self) -> Sequence[PlannedSuite]:
        """What is run of any program, here of none."""
        suites: list[PlannedSuite] = []
        if self.hidden is not None:
            cases = _cases(self.hidden)
            whole = WholeSuite("hidden", NO_PROGRAM, self.hidden_text, self._entry_point)
            suites.append(CasesSuite("hidden", NO_PROGRAM, cases) if cases else whole)
        cases = () if self._public is None else _cases(self._public)
        # Public tests and calls are few: both suites ask for one execution of them all, which is made once.
        few = *self._public_tests, self._calls
        if self._public is not None:
            suites.append(CasesSuite("public", NO_PROGRAM, cases) if cases else self._apart("public", *few))
        if self._generated:
            suites.append(self._apart("generated", "", self._generated))
        if self._inputs:
            read = InputsSuite("inputs", NO_PROGRAM, self._inputs)
            suites.append(self._apart("inputs", *few) if self._calls else read)
        return suites

    @property
    def _calls(self) -> tuple[str, ...]:
        """The inputs of a function; none of a program that reads them."""
        return () if self._entry_point is None else self._inputs

    @cached_property
    def _public_tests(self) -> tuple[str, tuple[str, ...]]:
        """What comes before the public tests, and these one by one; none where they are cases, or there are none."""
        if self._public is None or _cases(self._public):
            return "", ()
        return apart(_python(self._public), self._entry_point)

    def _apart(self, suite: Suite, before: str, own: tuple[str, ...], calls: tuple[str, ...] = ()) -> PlannedSuite:
        setup = with_imports(f"{self._setup}\n{before}", (*own, *calls))
        return ApartSuite(suite, NO_PROGRAM, setup, own, calls, self._entry_point, self._cpu_seconds)

    def _own_inputs(self) -> tuple[str, ...]:
        """The inputs of public tests, and the calls in these and in generated ones."""
        if self._public is not None and (cases := _cases(self._public)):
            return tuple(case.input for case in cases)
        if self._entry_point is None:
            return ()
        return calls_in((*self._public_tests[1], *self._generated), self._entry_point)


def _cases(tests: Tests) -> tuple[Case, ...]:
    return () if isinstance(tests, str) else tuple(one for one in tests if isinstance(one, Case))


def _python(tests: Tests) -> str | tuple[str, ...]:
    return tests if isinstance(tests, str) else tuple(one for one in tests if isinstance(one, str))


def _examples(prompt: str) -> Tests | None:
    """Those in the prompt's docstring."""
    opened = open_function(prompt)
    return None if opened is None else example_tests(opened.docstring) or None


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"its {name} are a {type(value).__name__}: a list of texts is wanted")
    return tuple(value)
