"""`reasoning:` of a recipe: the marks of what a policy thinks before it answers, and its budget."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Family = Literal["auto", "none", "think", "harmony", "magistral", "exaone", "seed", "kimi", "granite"]


class OwnMarks(BaseModel, title="marks of its own"):
    """Marks of a model that is of no known family."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: str = Field(min_length=1, description="begins the reasoning")
    close: str = Field(min_length=1, description="ends it")
    direct: str | None = Field(default=None, min_length=1, description="begins an answer without reasoning")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.close in (self.open, self.direct):
            raise ValueError(f"close = {self.close!r} is a mark that begins something too: name marks that differ")
        return self


def check_budget(most: int | None, least: int) -> None:
    """Raise ValueError where the least tokens of reasoning are more than the most."""
    if most is not None and least > most:
        raise ValueError(f"min_tokens = {least} is more than max_tokens = {most}")


class ReasoningConfig(BaseModel):
    """What lies between a policy's marks of reasoning is no part of its answer, and may have a budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    marks: Family | OwnMarks = Field(default="auto", description="by family, or your own; auto: by the chat template")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens of reasoning, at which it is closed")
    min_tokens: int = Field(default=0, ge=0, description="tokens of reasoning before which its end is held back")
    wait: int = Field(default=0, ge=0, description="times that the end of the reasoning is held back")
    text: str = Field(default="Wait", min_length=1, description="what stands where an end was held back")
    ending: str = Field(default="", description="what stands before the mark that closes a reasoning that was cut")
    search: bool = Field(default=False, description="searches draw and score the steps of the reasoning too")
    delimiter: str = Field(default="\n\n", min_length=1, description="ends a step of the reasoning")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_budget(self.max_tokens, self.min_tokens)
        if self.marks == "none" and self.is_forced:
            raise ValueError("marks: none means that nothing is reasoning, which then has no budget and no search")
        if self.search and (self.max_tokens, self.min_tokens, self.wait) != (None, 0, 0):
            raise ValueError(
                "search: true draws the reasoning step by step, which has no budget: leave one of them out"
            )
        return self

    @property
    def is_forced(self) -> bool:
        """Whether the reasoning is cut, held or searched, which takes a policy that shows its tokens."""
        return (self.max_tokens, self.min_tokens, self.wait, self.search) != (None, 0, 0, False)


def _by_name(value: Any) -> Any:
    return {"marks": value} if isinstance(value, str) else value


Reasoning = Annotated[ReasoningConfig, BeforeValidator(_by_name)]
