"""The recipe's `sampling`: how the policy draws tokens, and what is kept of how sure it was."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.engines.token_signals import TOP_LOGPROBS
from overthink.tasks.records import Sampling


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ConfidenceConfig(_Settings):
    """The windows of the confidence that is kept while sampling (defaults: DeepConf, Fu et al. 2025)."""

    group: int = Field(default=2048, ge=1, description="tokens of a sliding group")
    tail: int = Field(default=2048, ge=1, description="last tokens of a rollout that confidence_tail is of")


class SamplingConfig(_Settings):
    """How the policy draws tokens, in every method but cot, which is greedy (defaults: Liu et al. 2025)."""

    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=8192, ge=1, description="tokens of one solution")
    step_delimiter: str = Field(default="\n\n", min_length=1)
    confidence: Annotated[ConfidenceConfig | Literal[False], ADDED_LATER] = Field(
        default=ConfidenceConfig(), description="kept while sampling, as columns of steps and rollouts; false: not kept"
    )

    @field_validator("confidence", mode="before")
    @classmethod
    def _switched_on(cls, value: object) -> object:
        return {} if value is True else value

    def drawing(self) -> Sampling:
        """How whole solutions are drawn."""
        top = 0 if self.confidence is False else TOP_LOGPROBS
        return Sampling(self.temperature, self.top_p, self.max_tokens, top_logprobs=top)
