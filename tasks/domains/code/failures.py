"""Why a program is right, wrong or neither, by what its hidden tests have shown."""

import re

from overthink.tasks.domains.domain import Reason, Verdict
from overthink.tasks.domains.program_domain import SuiteResult
from overthink.tasks.programs import ProgramEnd

PASSED = "passes the hidden tests"
NOT_TESTED = "there are no results of hidden tests"
LONGEST = 300  # characters of a reason
ENDS: dict[ProgramEnd, str] = {
    "cpu": "took more CPU time than it may",
    "memory": "took more memory than it may",
    "output": "wrote more output than it may",
    "forged": "wrote what only its harness may write",
    "signal": "was ended by a signal",
    "wall": "had not ended after ten times its CPU time by the clock, which says nothing of it",
    "killed": "was killed from outside, which says nothing of it",
}


def judged(hidden: SuiteResult | None, tests: str) -> tuple[Verdict, Reason]:
    """The verdict of the hidden tests, whose text is known for what it says of the line that failed."""
    if hidden is None:
        return "unknown", NOT_TESTED
    if all(hidden.passed):
        return "equal", PASSED
    if False not in hidden.passed:
        return "unknown", ENDS.get(hidden.ended, NOT_TESTED)
    return "different", _failure(hidden, tests)[:LONGEST]


def _failure(hidden: SuiteResult, tests: str) -> Reason:
    count = len(hidden.passed)
    which = f"test {hidden.passed.index(False) + 1} of {count}: " if count > 1 else ""
    if hidden.ended in ENDS:
        return f"{which}{ENDS[hidden.ended]}"
    said = hidden.detail.strip().split("\n")[-1].strip()
    where = re.findall(r'File "tests", line (\d+)', hidden.detail)
    lines = tests.split("\n")
    line = lines[int(where[-1]) - 1].strip() if where and int(where[-1]) <= len(lines) else ""
    if not said:
        return f"{which}{'its output differs' if count > 1 else 'ended before its tests had returned'}"
    return f"{which}{said}{f', in {line}' if line else ''}"
