"""What the address of a page says: which run, which problem, which filters; every other state is its default."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overthink.tasks.errors import UserError

Show = Literal["all", "missed", "vote_missed", "none_right", "right", "vote_differs", "unknown"]
Sort = Literal["problem", "hardest", "easiest", "level", "subject", "longest"]
Within = Literal["questions", "solutions"]
Order = Literal["sample", "highest", "lowest", "longest"]
Verdict = Literal["all", "right", "wrong", "unknown"]
Outcome = Literal["differ", "first", "second", "both", "neither", "all"]


class State(BaseModel):
    """Base of the states of pages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Self:
        """The state that an address says. Raises UserError for one that no page has."""
        try:
            return cls.model_validate({name: value for name, value in parameters.items() if value != ""})
        except ValidationError as error:
            wrong = ", ".join(sorted({str(one["loc"][0]) for one in error.errors()}))
            raise UserError(f"no page has this address: see its {wrong}") from error

    def parameters(self, **changes: Any) -> dict[str, str]:
        """The parameters of the address of this state, or of one with some values changed."""
        changed = self.model_copy(update=changes)
        return {name: str(value) for name, value in changed.model_dump(exclude_defaults=True).items()}


class RunsState(State):
    """A page of the list of runs."""

    page: int = Field(default=1, ge=1)


class ListState(State):
    """A page of a run's problems, as one method solved them and one selector chose among its first n rollouts.

    `method`, `selector` and `n` are those of the run's own choice where they are None.
    """

    run: str
    method: str | None = None
    selector: str | None = None
    n: int | None = Field(default=None, ge=1)
    show: Show = "all"
    sort: Sort = "problem"
    q: str = ""
    within: Within = "questions"
    level: str = ""
    subject: str = ""
    domain: str = ""
    page: int = Field(default=1, ge=1)


class ProblemState(ListState):
    """One problem, and which of its rollouts are shown; the rest is the list that its neighbours are of."""

    problem: str
    order: Order = "sample"
    verdict: Verdict = "all"
    answer: str = ""
    rollouts: int = Field(default=1, ge=1)  # which page of them

    @property
    def listed(self) -> ListState:
        """The list that it was chosen from."""
        return ListState.model_validate(self.model_dump(include=set(ListState.model_fields)))


class TwoRuns(State):
    """Two runs, and which choice of each is looked at; that of a run itself where it is None."""

    run: str
    other: str
    method: str | None = None
    selector: str | None = None
    n: int | None = Field(default=None, ge=1)
    other_method: str | None = None
    other_selector: str | None = None
    other_n: int | None = Field(default=None, ge=1)

    @property
    def sides(self) -> tuple[ListState, ListState]:
        """What is looked at of each run."""
        names = ("run", "method", "selector", "n")
        first = {name: getattr(self, name) for name in names}
        second = {name: getattr(self, f"other_{name}") for name in names[1:]}
        return ListState(**first), ListState(run=self.other, **second)

    @property
    def chosen(self) -> dict[str, str]:
        """The parameters that say all this, for the address of another page of the two runs."""
        return {name: value for name, value in self.parameters().items() if name in TwoRuns.model_fields}


class CompareState(TwoRuns):
    """A page of the problems of two runs."""

    outcome: Outcome = "differ"
    q: str = ""
    page: int = Field(default=1, ge=1)

    @property
    def found(self) -> ListState:
        """The problems that it finds."""
        return ListState(run=self.run, q=self.q)


class BothState(TwoRuns):
    """One problem as two runs solved it."""

    problem: str
