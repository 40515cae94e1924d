"""The recipe's `sampling`: how the policy draws tokens, and what is kept of how sure it was."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.engines.token_signals import TOP_LOGPROBS
from overthink.tasks.records import Sampling

AS_THEY_ARE = (
    *("temperature", "top_p", "max_tokens", "top_k", "min_p"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ConfidenceConfig(_Settings, title="kept"):
    """The windows of the confidence that is kept while sampling (defaults: DeepConf, Fu et al. 2025)."""

    group: int = Field(default=2048, ge=1, description="tokens of a sliding group")
    tail: int = Field(default=2048, ge=1, description="last tokens of a rollout that confidence_tail is of")


class RepetitionConfig(_Settings, title="ends loops"):
    """When a solution counts as caught in a loop: a pattern of tokens comes several times in a row.

    Patterns of a few tokens are no loop: digits, rules of tables and sums repeat them (vLLM's own default, 1, ends an
    answer at three equal tokens).
    """

    min_pattern: int = Field(default=16, ge=8, description="tokens of the shortest pattern")
    max_pattern: int = Field(default=512, le=8192, description="tokens of the longest pattern")
    count: int = Field(default=4, ge=2, description="times in a row")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_pattern > self.max_pattern:
            raise ValueError(f"min_pattern = {self.min_pattern} is more than max_pattern = {self.max_pattern}")
        return self

    @property
    def pattern(self) -> tuple[int, int, int]:
        """See `Sampling.repetition`."""
        return self.min_pattern, self.max_pattern, self.count


class SamplingConfig(_Settings):
    """How the policy draws tokens, in every method but cot, which is greedy (defaults: Liu et al. 2025)."""

    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token always")
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="share of probability to draw from, likeliest tokens first"
    )
    max_tokens: int = Field(default=8192, ge=1, description="tokens of one solution")
    step_delimiter: str = Field(default="\n\n", min_length=1, description="what ends a step")
    top_k: Annotated[int, ADDED_LATER] = Field(default=0, ge=0, description="likeliest tokens to draw from; 0: all")
    min_p: Annotated[float, ADDED_LATER] = Field(
        default=0.0, ge=0, le=1, description="least probability of a token, as a share of the likeliest one's"
    )
    repetition_penalty: Annotated[float, ADDED_LATER] = Field(
        default=1.0, gt=0, le=2, description="divides what speaks for a token that prompt or solution have"
    )
    presence_penalty: Annotated[float, ADDED_LATER] = Field(
        default=0.0, ge=-2, le=2, description="against a token that was written"
    )
    frequency_penalty: Annotated[float, ADDED_LATER] = Field(
        default=0.0, ge=-2, le=2, description="against a token for each time it was written"
    )
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], ADDED_LATER] = Field(
        default=(), description="strings that end the solution, which does not hold them"
    )
    repetition: Annotated[RepetitionConfig | None, ADDED_LATER] = Field(
        default=None, description="ends a solution that goes round in a loop"
    )
    generation: Annotated[Literal["model"] | None, ADDED_LATER] = Field(
        default=None, description="model: what the recipe does not say is as in the model's generation_config.json"
    )
    confidence: Annotated[ConfidenceConfig | Literal[False], ADDED_LATER] = Field(
        default=ConfidenceConfig(), description="kept while sampling, as columns of steps and rollouts; false: not kept"
    )

    @model_serializer(mode="wrap")
    def _as_it_was_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where the model's files say the rest, what the recipe says must stay apart from defaults on its way."""
        dumped: dict[str, Any] = dump(self)
        said = dumped if self.generation is None else self.model_fields_set
        return {name: value for name, value in dumped.items() if name in said}

    @field_validator("confidence", mode="before")
    @classmethod
    def _switched_on(cls, value: object) -> object:
        return {} if value is True else value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("repetition", mode="before")
    @classmethod
    def _repetition_on(cls, value: object) -> object:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    def drawing(self) -> Sampling:
        """How whole solutions are drawn."""
        return Sampling(
            **{name: getattr(self, name) for name in AS_THEY_ARE},
            ends=self.stop,
            repetition=None if self.repetition is None else self.repetition.pattern,
            top_logprobs=0 if self.confidence is False else TOP_LOGPROBS,
        )
