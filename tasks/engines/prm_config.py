"""How a recipe names its PRM: one that gives numbers, or a model that writes critiques."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from overthink.tasks.engines.engine_config import (
    AskedPolicy,
    AutoPrmConfig,
    EngineModel,
    FakePolicyConfig,
    FakePrmConfig,
    OpenAIPolicyConfig,
    PrmModelConfig,
    PromptedPolicy,
    ScriptedConfig,
    ServedPrmConfig,
    TorchPrmConfig,
    VllmPolicyConfig,
    VllmPrmConfig,
)
from overthink.tasks.engines.prm.critic_families import CRITIC_FAMILIES, CriticFamily, CriticFamilyName
from overthink.tasks.engines.prm.judging import Judging
from overthink.tasks.json_schema import FormModel
from overthink.tasks.records import Sampling


class FakeCriticConfig(AskedPolicy, title="fake critic, without a model"):
    """A model that writes critiques from a hash, and the verdict of its verifier's family at their ends."""

    engine: Literal["fake"] = "fake"
    silent: float = Field(default=0, ge=0, le=1, description="share of its critiques that come to no verdict")
    latency_ms: float = Field(default=0, ge=0, description="milliseconds before each reply")


VerifierModelConfig = Annotated[
    VllmPolicyConfig | OpenAIPolicyConfig | FakeCriticConfig | ScriptedConfig, Field(discriminator="engine")
]


class GenerativePrmConfig(EngineModel, FormModel, title="a model that writes critiques"):
    """A PRM that writes critiques and ends each in a verdict; its family words what the model is asked."""

    engine: Literal["generative"] = "generative"
    family: CriticFamilyName = Field(default="critic", description="words what is asked; how a verdict is read")
    verifier: VerifierModelConfig = Field(description="the model that writes")
    critiques: int = Field(default=1, ge=1, le=256, description="of each step, whose scores are averaged")
    rounds: int = Field(default=1, ge=1, le=16, description="of thinking each of them over")
    temperature: float | None = Field(default=None, ge=0, description="none: as the family's authors have it")
    top_p: float | None = Field(default=None, gt=0, le=1, description="none: as the family's authors have it")
    top_k: int | None = Field(default=None, ge=0, description="0: no limit; none: as the authors have it")
    max_tokens: int | None = Field(default=None, ge=1, description="of a critique or a round; none: as the authors")

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        model, family = self.verifier, self.critic_family
        if isinstance(model, PromptedPolicy) and (model.prompt_style != "auto" or model.system_prompt is not None):
            raise ValueError("the family words what a verifier is asked: leave out prompt_style and system_prompt")
        if self.rounds > 1 and family.analysis_end is not None:
            raise ValueError(f"{self.family} asks for its verdict itself, in one round: leave out rounds")
        goes_on = bool(family.opening) or self.rounds > 1
        if goes_on and isinstance(model, OpenAIPolicyConfig) and model.tokenizer is None:
            raise ValueError(
                f"{self.family} goes on from given text, which a chat endpoint cannot: serve the model with vLLM and "
                "name its `tokenizer`, or take family critic or r-prm with one round"
            )
        return self

    @property
    def critic_family(self) -> CriticFamily:
        """How the model is asked, and how it says its verdict."""
        return CRITIC_FAMILIES[self.family]

    @property
    def model_asked(self) -> VerifierModelConfig:
        """The model that writes, with the family's system message."""
        return self.verifier.under_verifier(self.critic_family.system)

    @property
    def judging(self) -> Judging:
        """How it comes to its scores."""
        draw = self.critic_family.draw
        settings = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        said = {name: getattr(draw, name) if value is None else value for name, value in settings.items()}
        return Judging(self.critic_family, Sampling(**said), self.critiques, self.rounds)


PrmConfig = Annotated[
    VllmPrmConfig
    | TorchPrmConfig
    | AutoPrmConfig
    | ServedPrmConfig
    | GenerativePrmConfig
    | FakePrmConfig
    | ScriptedConfig,
    Field(discriminator="engine"),
]
EngineConfig = (
    VllmPolicyConfig
    | OpenAIPolicyConfig
    | PrmModelConfig
    | ServedPrmConfig
    | GenerativePrmConfig
    | FakePolicyConfig
    | FakeCriticConfig
    | FakePrmConfig
    | ScriptedConfig
)


def loaded_config(config: object) -> object:
    """What is loaded or served of an engine: of a verifier the model that writes."""
    return config.verifier if isinstance(config, GenerativePrmConfig) else config
