"""The training settings of a recipe."""

from typing import Literal, Self

from pydantic import Field, model_validator

from overthink.tasks.engines.engine_config import Dtype, EngineModel


class BaseModelConfig(EngineModel):
    """The language model that a PRM is initialised from: a folder, a zoo name, or a hub name with its revision."""

    model: str = Field(min_length=1, description="a local folder, `zoo/NAME`, or a hub name")
    revision: str | None = Field(default=None, description="of a hub name: a commit, branch or tag")


class TrainingConfig(EngineModel):
    """How a PRM is trained on labelled steps.

    `part` is what is trained: the head alone on a frozen body, with `extra_layers` new layers between; LoRA adapters
    in all the body's matrices, merged afterwards; or everything.
    """

    base: BaseModelConfig
    family: Literal["qwen", "trl"] = Field(default="qwen", description="the layout and head that the PRM will have")
    part: Literal["head", "lora", "full"] = Field(default="lora", description="which weights learn")
    extra_layers: int = Field(default=0, ge=0, description="of part: head, new layers on the frozen body")
    lora_rank: int = Field(default=16, ge=1, description="of part: lora")
    labels: Literal["hard", "soft"] = Field(
        default="hard", description="hard: a step is right where any continuation was; soft: the share that was"
    )
    updates: int = Field(default=400, ge=1, description="steps of the optimiser, at most")
    batch_rollouts: int = Field(default=64, ge=1, description="rollouts an update learns from")
    chunk_tokens: int = Field(default=8192, ge=1, description="tokens computed at once, padding included")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW, at its highest")
    held_out: float = Field(default=0.1, gt=0, lt=1, description="share of the problems that only judge")
    check_every: int = Field(default=50, ge=1, description="updates from one judgement and checkpoint to the next")
    patience: int = Field(default=4, ge=1, description="judgements without a better one that end the training")
    dtype: Dtype = Field(default="bfloat16", description="of the weights that are written")

    @model_validator(mode="after")
    def _extra_layers_on_a_frozen_body(self) -> Self:
        if self.extra_layers and self.part != "head":
            raise ValueError(f"extra_layers = {self.extra_layers} stand on a frozen body: set part: head")
        return self
