"""The domain of quantities: a number, with a unit where one is asked for."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from math import floor, inf, log10, nan
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from overthink.tasks.domains.answer_tags import MOST_READ, last_tag
from overthink.tasks.domains.domain import Extraction, PlainDomain, Reason, Verdict
from overthink.tasks.domains.domain_options import checked_options
from overthink.tasks.domains.math.extraction import extract_answer, is_final
from overthink.tasks.domains.math.grouping import numbered
from overthink.tasks.domains.quantity.measured import asked_unit, measured
from overthink.tasks.domains.quantity.nearness import in_common_unit, in_one_unit, is_near, near_groups
from overthink.tasks.domains.quantity.unit_verdicts import verdict
from overthink.tasks.reasoning_marks import divide_by_any
from overthink.tasks.records import Problem

WITH_UNIT = "Please reason step by step, and put your final answer with its unit within \\boxed{}."
SCIBENCH = 0.05  # the relative tolerance of SciBench's own grading
_MAY_BE_A_NUMBER = re.compile(r"\d|\\(?:pi|sqrt|frac|infty)")


class QuantityOptions(BaseModel):
    """How far an answer may be from the reference, where the problem's own `tolerance` does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tolerance: float = Field(
        default=SCIBENCH, ge=0, allow_inf_nan=False, description="a share of the larger of the two, unless absolute"
    )
    absolute: bool = Field(default=False, description="tolerances are in the reference's own unit")


class Quantities(PlainDomain):
    """Numbers with units, compared in base units. A number without its unit counts as in the unit asked for."""

    name: ClassVar[str] = "quantity"
    version: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("pint",)
    instruction: ClassVar[str] = WITH_UNIT
    grading_fields: ClassVar[tuple[str, ...]] = ("unit", "tolerance")

    def __init__(self, settings: QuantityOptions | None = None) -> None:
        self._settings = settings or QuantityOptions()

    def configured(self, options: Mapping[str, Any], seed: int) -> Self:  # noqa: ARG002
        """See `Domain.configured`."""
        return type(self)(checked_options(QuantityOptions, options))

    @property
    def options(self) -> Mapping[str, Any]:
        """The tolerance, where it is not the usual one."""
        return self._settings.model_dump(exclude_defaults=True)

    def posed(self, problem: Problem, answer: Any) -> Problem:  # noqa: ARG002
        """The question with the unit asked for, and the reference as a number in it."""
        self._tolerance(problem)
        unit = asked_unit(problem.fields.get("unit"))
        if unit is not None:
            asked = f"{problem.question}\n\nGive the answer in units of {str(problem.fields['unit']).strip()}."
            problem = replace(problem, question=asked)
        if problem.reference is None:
            return problem
        right = measured(problem.reference)
        if right is None:
            raise ValueError(f"its answer {problem.reference!r} is no number with a unit that is read")
        return problem if unit is None or right.unit else replace(problem, reference=f"{problem.reference}{unit}")

    def is_final(self, text: str) -> bool:
        """Whether a tag or a box is there; a line that is but a formula may be any step."""
        return last_tag(text) is not None or is_final(text)

    def extract(self, text: str, extraction: Extraction = "boxed") -> str | None:
        """What stands in the last tag, box or statement, as written."""
        text = divide_by_any(text[-MOST_READ:]).answer
        return last_tag(text) or extract_answer(text, extraction)

    def read(self, problem: Problem, text: str, extraction: Extraction = "boxed") -> str | None:
        """The answer as written; behind a number alone the unit that the problem asks for.

        Where that has a power of ten, and the number has it too, it is in the unit without it: 3.5e-19 of 10^-19 J.
        """
        answer, unit = self.extract(text, extraction), asked_unit(problem.fields.get("unit"))
        found = None if answer is None else measured(answer)
        if found is None or found.unit is not None or unit is None:
            return answer
        own = floor(log10(abs(found.value))) if found.value else 0
        return f"{answer}{replace(unit, power=0) if abs(own - unit.power) < abs(own) else unit}"

    def key(self, answer: str) -> str:
        """The value in base units."""
        found = measured(answer)
        return answer if found is None else found.key

    def same(self, answers: Sequence[str]) -> list[int]:
        """Answers of one kind that a chain of near ones joins, each within half the tolerance of the next.

        A number without a unit is in the unit of the others, where they have but one.
        """
        found = in_one_unit([measured(answer) for answer in answers])
        labels: list[Hashable] = list(answers)  # what is not read is the same only where its text is
        for kind in {one.dimensions for one in found if one is not None}:
            alike = {place: one for place, one in enumerate(found) if one is not None and one.dimensions == kind}
            groups = near_groups(in_common_unit([*alike.values()]), self._settings.tolerance / 2, self._is_near)
            labels = [(kind, groups.pop(0)) if place in alike else label for place, label in enumerate(labels)]
        return numbered(labels)

    def grade(self, problem: Problem, answer: str) -> tuple[Verdict, Reason | None]:
        """Within the tolerance, in the reference's unit; a wrong unit is told apart from a wrong number."""
        right, given = measured(str(problem.reference)), measured(answer)
        if right is None or given is None:
            return ("unknown", "unread") if right is None or _MAY_BE_A_NUMBER.search(answer) else ("different", None)
        tolerance = self._tolerance(problem)
        return verdict(right, given, lambda one, other: self._is_near(one, other, tolerance))

    def _is_near(self, one: float, other: float, tolerance: float) -> bool:
        return is_near(one, other, tolerance, self._settings.absolute)

    def _tolerance(self, problem: Problem) -> float:
        """That of the problem, or the recipe's. Raises ValueError."""
        own = problem.fields.get("tolerance")
        if own is None:
            return self._settings.tolerance
        try:
            tolerance = nan if isinstance(own, bool) else float(own)
        except (TypeError, ValueError):
            tolerance = nan
        if not 0 <= tolerance < inf:
            raise ValueError(f"its tolerance {own!r} is no number from 0")
        return tolerance
