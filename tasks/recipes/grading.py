"""How a recipe has answers read, compared and graded."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from overthink.tasks.domains.domain import Domain, Extraction, Judge
from overthink.tasks.domains.known_domains import MATH, domain_identity, domain_of
from overthink.tasks.errors import UserError
from overthink.tasks.reasoning_marks import without_marks
from overthink.tasks.records import Problem


class GradingConfig(BaseModel):
    """How answers are found and compared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    extraction: Extraction = Field(default="boxed", description="lenient: where no answer is marked, the last number")
    time_limit_seconds: float = Field(default=5.0, gt=0, description="for one comparison of two answers")


@dataclass(frozen=True)
class Grader:
    """A domain that reads and compares answers as a recipe's `grading` says."""

    domain: Domain
    grading: GradingConfig

    @property
    def name(self) -> str:
        """What the table `grades` calls it."""
        return f"{self.domain.name} ({self.grading.extraction})"

    def extract(self, problem: Problem, text: str, divided: bool = False) -> str | None:
        """The answer in a solution to a problem, or None where it gives none.

        In a text that is `divided` from its reasoning, marks of reasoning are words, and no domain shall see them.
        """
        return self.domain.read(problem, without_marks(text) if divided else text, self.grading.extraction)

    def judge(self) -> AbstractContextManager[Judge]:
        """See `Domain.judge`."""
        return self.domain.judge(self.grading.time_limit_seconds)

    def identity(self) -> dict[str, Any]:
        """Who finds, compares and groups answers; grades are only comparable where it is the same."""
        options = {"options": dict(self.domain.options)} if self.domain.options else {}
        return domain_identity(self.domain.name) | options

    def further_identity(self) -> dict[str, Any]:
        """The same for stages whose rollouts end by what is read in them, which hold nothing of mathematics."""
        return {} if self.domain.name == MATH.name else {"domain": self.identity()}


def grader_of(recipe: Mapping[str, Any]) -> Grader:
    """The grader of a run's recipe as it is stored; of old it named no domain.

    Raises UserError where the package that has its domain is not installed.
    """
    try:
        domain = domain_of(recipe.get("domain", MATH.name))
        domain = domain.configured(recipe.get("domain_options", {}), recipe.get("seed", 0))
    except ValueError as error:
        raise UserError(str(error)) from error
    return Grader(domain, GradingConfig.model_validate(recipe.get("grading", {})))
