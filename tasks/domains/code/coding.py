"""The domain of code: a program in Python, which tests grade."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from overthink.tasks.domains.code.continuing import open_function
from overthink.tasks.domains.code.failures import judged
from overthink.tasks.domains.code.fences import ends_a_block
from overthink.tasks.domains.code.problem_suites import ProblemSuites
from overthink.tasks.domains.code.program_text import Wanted
from overthink.tasks.domains.code.python_syntax import syntax_key
from overthink.tasks.domains.code.written_tests import Case, asked_function, lines_of_python, tests_of, written
from overthink.tasks.domains.domain import Extraction, Judge, Judged, Reason, Verdict
from overthink.tasks.domains.domain_options import checked_options
from overthink.tasks.domains.math.grouping import numbered
from overthink.tasks.domains.program_domain import ProgramDomain, Suite, SuiteResult
from overthink.tasks.domains.prompts import KnownStyle, Message
from overthink.tasks.methods.requests import Execute, Search
from overthink.tasks.programs import Limits, ProgramOutcome
from overthink.tasks.reasoning_marks import divide_by_any
from overthink.tasks.records import Problem

ONE_BLOCK = (
    "Please reason step by step, and put the whole program in Python into one block that begins with ```python and "
    "ends with ```. A function that is asked for keeps its name; a program that is asked for reads standard input and "
    "writes standard output."
)
PROBLEMS_AT_WORK = 64
NOT_RUN = "programs are only told apart by running them"


class CodeOptions(BaseModel):
    """What a program may use, each time that it is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpu_seconds: int = Field(default=5, ge=1, le=600, description="of each process of a program")
    memory_mb: int = Field(default=1024, ge=64, le=2**20, description="MiB of each process of a program")


class Code(ProgramDomain):
    """Functions and programs in Python, graded by hidden tests in the sandbox."""

    name: ClassVar[str] = "code"
    version: ClassVar[int] = 1
    instruction: ClassVar[str] = ONE_BLOCK
    grading_fields: ClassVar[tuple[str, ...]] = (
        *("entry_point", "prompt", "test_setup"),
        *("public_tests", "generated_tests", "inputs"),
    )

    def __init__(self, settings: CodeOptions | None = None) -> None:
        self._settings = settings or CodeOptions()

    def configured(self, options: Mapping[str, Any], seed: int) -> Self:  # noqa: ARG002
        """See `Domain.configured`."""
        return type(self)(checked_options(CodeOptions, options))

    @property
    def options(self) -> Mapping[str, Any]:
        """The limits that are not the usual ones."""
        return self._settings.model_dump(exclude_defaults=True)

    @property
    def limits(self) -> Limits:
        """Of each execution."""
        return Limits(cpu_seconds=self._settings.cpu_seconds, memory_bytes=self._settings.memory_mb * 2**20)

    def posed(self, problem: Problem, answer: Any) -> Problem:
        """The problem with its tests, whose text is the reference, and the name of the function that they are about."""
        fields = dict(problem.fields)
        given = answer if fields.get("tests") is None else fields["tests"]
        tests = tests_of(given, "tests")
        if tests is None and "tests" in fields:
            raise ValueError("it has no tests: name their column, as in columns.tests, and write them in each row")
        setup = lines_of_python(fields.get("test_setup"), "test_setup")
        entry_point = None if tests and isinstance(tests[0], Case) else asked_function(fields, tests, setup)
        fields |= {"entry_point": entry_point, **({} if tests is None else {"tests": given})}
        posed = replace(problem, reference=written(tests) if tests else None, fields=fields)
        self.suites(posed).of("")  # refuses fields that are no tests
        return posed

    def messages(self, question: str, style: KnownStyle, system: str | None = None) -> list[Message]:
        """See `Domain.messages`; code that shall be continued is shown as code, but to models that only continue."""
        if style != "plain" and open_function(question) is not None:
            question = f"Complete this function:\n\n```python\n{question}\n```"
        return super().messages(question, style, system)

    def is_final(self, text: str) -> bool:
        """Whether it ends a block of code, which may have begun in a step before."""
        return ends_a_block(text)

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:  # noqa: ARG002
        """A program that stands by itself, whatever it is about."""
        return Wanted(None, "").program_in(divide_by_any(text).answer)

    def read(self, problem: Problem, text: str, extraction: Extraction = "boxed") -> str | None:  # noqa: ARG002
        """The program that solves this problem, behind its prompt where it continues that."""
        return self.suites(problem).wanted.program_in(divide_by_any(text).answer)

    def tested(self, problem: Problem, answer: str, sample_index: int) -> Search[tuple[SuiteResult, ...]]:
        """See `ProgramDomain.tested`; what two suites ask alike is run once."""
        suites = self.suites(problem).of(answer)
        asked = list(dict.fromkeys(one for suite in suites for one in suite.executions))
        replies = yield [Execute(program, stdin, self.limits, sample_index) for program, stdin in asked]
        outcomes = dict(zip(asked, _outcomes(replies), strict=True))
        return tuple(suite.result([outcomes[one] for one in suite.executions]) for suite in suites)

    def suites_of(self, problem: Problem) -> frozenset[Suite]:
        """See `ProgramDomain.suites_of`."""
        return frozenset(planned.suite for planned in self.suites(problem).of(""))

    def verdict(self, problem: Problem, results: Sequence[SuiteResult]) -> tuple[Verdict, Reason]:
        """That of the hidden tests, with what failed as far as it is known."""
        hidden = next((one for one in results if one.suite == "hidden"), None)
        return judged(hidden, self.suites(problem).hidden_text)

    @contextmanager
    def judge(self, _: float, /) -> Iterator[Judge]:
        """See `Domain.judge`: programs are the same where their syntax is; which are right, only running them tells."""
        yield _BySyntax()

    def suites(self, problem: Problem) -> ProblemSuites:
        """What there is to run for a problem. Raises ValueError saying which field is not what it should be."""
        return _suites_of(problem, self._settings.cpu_seconds)


@lru_cache(maxsize=PROBLEMS_AT_WORK)
def _suites_of(problem: Problem, cpu_seconds: int) -> ProblemSuites:
    """Kept, since every program of a problem asks for them."""
    return ProblemSuites(problem, cpu_seconds)


@dataclass(frozen=True)
class _BySyntax:
    def grade(self, problem: Problem, answers: Sequence[str]) -> list[Judged]:
        known: tuple[Verdict, Reason] | tuple[None, None]
        known = (None, None) if problem.reference is None else ("unknown", NOT_RUN)
        return [Judged(syntax_key(answer), *known) for answer in answers]

    def groups(self, answers: Sequence[str]) -> list[int]:
        return numbered([syntax_key(answer) for answer in answers])


def _outcomes(replies: Sequence[Any]) -> list[ProgramOutcome]:
    """The replies to Execute requests. Raises TypeError where the driver sent something else."""
    outcomes = [reply for reply in replies if isinstance(reply, ProgramOutcome)]
    if len(outcomes) != len(replies):
        raise TypeError("an Execute request was answered with something else than an outcome")
    return outcomes
