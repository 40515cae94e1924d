"""Domains whose answers are programs, which tests grade."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.domains.domain import Domain, Reason, Verdict
from overthink.tasks.methods.requests import Search
from overthink.tasks.programs import ProgramEnd
from overthink.tasks.records import Problem

Suite = Literal["hidden", "public", "generated", "inputs"]


@dataclass(frozen=True)
class SuiteResult:
    """What became of a program on one suite of its problem.

    The `hidden` tests grade it, the `public` ones are a signal, and so are `generated` ones, which a model wrote;
    `inputs` are given to it to compare what programs make of them. `passed` holds a verdict for each test, None where
    unknown, and nothing of `inputs`. `behaviour` is a digest of what it made of all inputs, None where unknown and of
    other suites. `ended`, `detail` (the end of its standard error) and `cpu_seconds` are those of the execution that
    says most: the first that did not end by itself, else the first; CPU seconds are of all.
    """

    suite: Suite
    passed: tuple[bool | None, ...]
    behaviour: str | None
    ended: ProgramEnd
    detail: str
    cpu_seconds: float | None


class ProgramDomain(Domain):
    """A domain whose answers are run; its judge compares programs without running them."""

    @abstractmethod
    def tested(self, problem: Problem, answer: str, sample_index: int) -> Search[tuple[SuiteResult, ...]]:
        """Ask for the executions of one program, and tell how it did on each suite that the problem has."""

    @abstractmethod
    def suites_of(self, problem: Problem) -> frozenset[Suite]:
        """The suites that a problem has."""

    @abstractmethod
    def verdict(self, problem: Problem, results: Sequence[SuiteResult]) -> tuple[Verdict, Reason]:
        """The verdict of a program with these results, and why; what is not known of it is unknown, never different."""
