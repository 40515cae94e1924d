"""How the rows of a data set are laid out: its columns, and with its domain a preset."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from overthink.tasks.domains.known_domains import MATH, DomainName


class SourceModel(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Columns(SourceModel, title="columns"):
    """The columns of a file; `a.0.b` names one that lies inside others.

    Without `problem_id` rows are numbered from 0; without `reference` nothing can be graded. From `options` on they are
    what some domains need besides; the options are a list, a mapping to scores, or a column each. The reference of a
    program are its `tests`.
    """

    question: str = Field(default="question", description="what is asked")
    reference: str | None = Field(default="answer", description="the right answer; null: none is known")
    problem_id: str | None = Field(default=None, description="a name that no other row has")
    level: str | None = Field(default=None, description="how difficult it is, by the data")
    subject: str | None = Field(default=None, description="what it is about")
    reference_after: str | None = Field(default=None, description="keep only what follows the last of this mark")
    options: str | tuple[str, ...] | None = Field(default=None, description="of a choice: one column, or several")
    unit: str | None = Field(default=None, description="of a quantity")
    tolerance: str | None = Field(
        default=None, description="of quantities relative by default, of mathematics absolute"
    )
    tests: str | None = Field(default=None, description="of a program: what grades it")
    entry_point: str | None = Field(default=None, description="of a program: the function that is asked for")
    prompt: str | None = Field(default=None, description="of a program: code that a solution may continue")
    test_setup: str | None = Field(default=None, description="of a program: statements before all tests")
    public_tests: str | None = Field(default=None, description="of a program: a signal, as are generated_tests")
    generated_tests: str | None = Field(default=None, description="of a program: assertions that a model wrote")
    inputs: str | None = Field(default=None, description="of a program: what programs are compared on")

    @model_validator(mode="after")
    def _after_what(self) -> Self:
        if self.reference_after is not None and self.reference is None:
            raise ValueError(
                f"reference_after = {self.reference_after!r} is of no use without a `reference`: name one, or set "
                "reference_after to null"
            )
        return self


OF_EVERY_PROBLEM = ("question", "reference", "problem_id", "level", "subject", "reference_after")
DOMAIN_FIELDS = tuple(name for name in Columns.model_fields if name not in OF_EVERY_PROBLEM)


class Preset(SourceModel, title="spelled out"):
    """How the rows of a data set are laid out, spelled out in a recipe or in a file that it names, and their domain."""

    columns: Columns = Field(description="which column holds what")
    domain: DomainName = Field(default=MATH.name, description="what kind of task the problems are")
    domain_options: Mapping[str, JsonValue] = Field(default={}, description="what the domain takes")

    def __hash__(self) -> int:
        return hash(self.model_dump_json())
