"""A domain: estimates, which are right within a factor of ten and vote together by their power of ten."""

import math
import re
from typing import ClassVar

from overthink.tasks.domains.domain import Extraction, PlainDomain, Reason, Verdict
from overthink.tasks.records import Problem

NUMBER = re.compile(r"(?:≈|boxed\{)\s*(\d{1,30}(?:\.\d{1,30})?(?:e[+-]?\d{1,2})?)")


class Fermi(PlainDomain):
    """How many piano tuners are there in Chicago?"""

    name: ClassVar[str] = "fermi"
    version: ClassVar[int] = 1
    instruction: ClassVar[str] = "Estimate step by step, and end with ≈ and one number."

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        """The last number behind ≈."""
        numbers = NUMBER.findall(text)
        return numbers[-1] if numbers else None

    def key(self, answer: str) -> str:
        """The nearest power of ten."""
        return f"1e{round(math.log10(float(answer)))}" if float(answer) else "0"

    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        """Zero has no power of ten to compare."""
        right, given = float(str(problem.reference)), float(answer)
        if not right or not given:
            return "unknown", "zero has no magnitude"
        return ("equal" if abs(math.log10(given / right)) <= 1 else "different"), None


FERMI = Fermi()
