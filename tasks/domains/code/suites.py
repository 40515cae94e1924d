"""What is run of a program: each suite of its problem as executions in the sandbox, and what they say."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from overthink.tasks.domains.code.written_tests import Case
from overthink.tasks.domains.program_domain import Suite, SuiteResult
from overthink.tasks.programs import Program, ProgramOutcome

Execution = tuple[Program, str]  # with its standard input
Outcomes = Sequence[ProgramOutcome]
EACH_TEST = Path(__file__).with_name("each_test.py").read_text(encoding="utf-8")
UNKNOWN_ENDS = ("wall", "killed")
SHARES = 5  # how many tests without an end may use up the time of all


@dataclass(frozen=True)
class PlannedSuite(ABC):
    """One suite for one program, by its text."""

    suite: Suite
    program: str

    @property
    @abstractmethod
    def executions(self) -> tuple[Execution, ...]:
        """What is run."""

    @abstractmethod
    def passed(self, outcomes: Outcomes) -> tuple[bool | None, ...]:
        """A verdict for each test, of the outcomes in the order of the executions."""

    def behaviour(self, outcomes: Outcomes) -> str | None:  # noqa: ARG002
        """A digest of what the program makes of its inputs."""
        return None

    def result(self, outcomes: Outcomes) -> SuiteResult:
        """What became of the program."""
        telling = next((one for one in outcomes if one.ended != "exit"), outcomes[0])
        seconds = [one.cpu_seconds for one in outcomes if one.cpu_seconds is not None]
        cpu = sum(seconds) if seconds else None
        behaviour, passed = self.behaviour(outcomes), self.passed(outcomes)
        return SuiteResult(self.suite, passed, behaviour, telling.ended, telling.stderr, cpu)


@dataclass(frozen=True)
class WholeSuite(PlannedSuite):
    """Tests that grade: one execution, and the proof that they have returned."""

    tests: str
    entry_point: str | None

    @property
    def executions(self) -> tuple[Execution, ...]:
        """The tests behind the program."""
        under_test = () if self.entry_point is None else (self.entry_point,)
        return ((Program(self.program, self.tests, under_test), ""),)

    def passed(self, outcomes: Outcomes) -> tuple[bool | None, ...]:
        """One verdict on all."""
        return (outcomes[0].passed,)


@dataclass(frozen=True)
class ApartSuite(PlannedSuite):
    """Tests that are signals, and calls: each apart from the others, in one execution that writes what came of each.

    The calls are the suite `inputs`, the tests any other; one execution may serve two suites. Each may take its share
    of the CPU seconds. What a program ends before its result is written has not passed.
    """

    setup: str
    tests: tuple[str, ...]
    calls: tuple[str, ...]
    entry_point: str | None
    cpu_seconds: int

    @property
    def _mark(self) -> str:
        """What begins a line of results: a program knows it as little as its own hash."""
        content = json.dumps([self.program, self.setup, self.tests, self.calls])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def executions(self) -> tuple[Execution, ...]:
        """The tests behind the program."""
        asked = (self._mark, self.setup, list(self.tests), list(self.calls), self.cpu_seconds / SHARES)
        under_test = () if self.entry_point is None else (self.entry_point,)
        return ((Program(self.program, f"{EACH_TEST}\nrun(*{asked!r})\n", under_test), ""),)

    def passed(self, outcomes: Outcomes) -> tuple[bool | None, ...]:
        """That of each test."""
        if self.suite == "inputs":
            return ()
        found = dict(re.findall(rf"^{self._mark} (\d+) ([01])$", outcomes[0].stdout, re.MULTILINE))
        missing = None if outcomes[0].ended in UNKNOWN_ENDS else False
        return tuple(found[str(place)] == "1" if str(place) in found else missing for place in range(len(self.tests)))

    def behaviour(self, outcomes: Outcomes) -> str | None:
        """Of all calls; None where not all have a result, or none has a value."""
        if self.suite != "inputs":
            return None
        found = re.search(rf"^{self._mark} ([0-9a-f]{{64}}) ([1-9]\d*)$", outcomes[0].stdout, re.MULTILINE)
        return None if found is None else found[1][:16]


@dataclass(frozen=True)
class CasesSuite(PlannedSuite):
    """Inputs with the outputs that they shall have: an execution each."""

    cases: tuple[Case, ...]

    @property
    def executions(self) -> tuple[Execution, ...]:
        """The program alone, reading each input."""
        return tuple((Program(self.program), case.input) for case in self.cases)

    def passed(self, outcomes: Outcomes) -> tuple[bool | None, ...]:
        """Whether it ended by itself, and wrote the same lines but for white space at their ends."""
        return tuple(
            None
            if one.ended in UNKNOWN_ENDS
            else ended_well(one) and plain_lines(one.stdout) == plain_lines(case.output)
            for case, one in zip(self.cases, outcomes, strict=True)
        )


@dataclass(frozen=True)
class InputsSuite(PlannedSuite):
    """Inputs whose outputs are compared between programs: an execution each."""

    passes_nothing: ClassVar[tuple[bool | None, ...]] = ()
    inputs: tuple[str, ...]

    @property
    def executions(self) -> tuple[Execution, ...]:
        """The program alone, reading each input."""
        return tuple((Program(self.program), one) for one in self.inputs)

    def passed(self, outcomes: Outcomes) -> tuple[bool | None, ...]:  # noqa: ARG002
        """There is nothing to pass."""
        return self.passes_nothing

    def behaviour(self, outcomes: Outcomes) -> str | None:
        """Of all outputs; None where one is unknown, or none was written by a program that ended well."""
        if any(one.ended in UNKNOWN_ENDS for one in outcomes) or not any(map(ended_well, outcomes)):
            return None
        lines = [plain_lines(one.stdout) if ended_well(one) else one.ended for one in outcomes]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def ended_well(outcome: ProgramOutcome) -> bool:
    """Whether a program ended by itself and without an error."""
    return outcome.ended == "exit" and outcome.exit_code == 0


def plain_lines(text: str) -> list[str]:
    """The lines of an output without white space at their ends, nor blank ones at its end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]
