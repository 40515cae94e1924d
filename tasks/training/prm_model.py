"""The model in training: a body from transformers, new layers where the recipe asks for them, and a PRM's head."""

import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict

from overthink.tasks.engines.models import ModelFiles, require
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.torch.torch_models import INSTALL
from overthink.tasks.engines.weights import check_weights
from overthink.tasks.training.training_config import TrainingConfig
from overthink.tasks.training.upper_layers import UpperLayers

PEFT = "pip install 'overthink[lora]'"
ARCHITECTURES = {"qwen": "Qwen2ForProcessRewardModel", "trl": "{kind}ForTokenClassification"}


def load_base(model: ModelFiles, frozen: bool) -> Any:
    """The base without its head. A frozen one keeps its dtype; a trained one is float32.

    Raises EngineUnavailable where weights are missing.
    """
    check_weights(model, None, unwraps=False)
    transformers = require("transformers", INSTALL)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Plain matmul attention: the backward pass of the fused one is slow on a CPU for short sequences.
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    dtype = "auto" if frozen else torch.float32
    return transformers.AutoModel.from_pretrained(str(model.folder), dtype=dtype, attn_implementation=attention)


def load_writer(model: ModelFiles) -> Any:
    """The base's language-model head: from hidden states after the norm to logits over the vocabulary."""
    transformers = require("transformers", INSTALL)
    causal = transformers.AutoModelForCausalLM.from_pretrained(str(model.folder), dtype="auto")
    return causal.get_output_embeddings()


class PrmModel(torch.nn.Module):
    """From token ids to two logits for every token, wrong and right."""

    def __init__(self, body: Any, config: TrainingConfig) -> None:
        super().__init__()
        size = body.config.hidden_size
        self.config = config
        self.layer_names = FAMILIES[config.family].head.layers
        self.frozen = config.part == "head"
        self.upper: UpperLayers | None = None
        if self.frozen:
            body.requires_grad_(False)
        if config.extra_layers:
            self.upper = UpperLayers(body, config.extra_layers)
            body.norm = torch.nn.Identity()  # the new layers have their own
        if config.part == "lora":
            peft = require("peft", PEFT)
            adapters = peft.LoraConfig(r=config.lora_rank, lora_alpha=2 * config.lora_rank, target_modules="all-linear")
            body = peft.get_peft_model(body, adapters)
        self.body = body
        *before, last = [torch.nn.Linear(size, size) for _ in self.layer_names[1:]] + [torch.nn.Linear(size, 2)]
        self.head = torch.nn.Sequential(*(part for layer in before for part in (layer, torch.nn.ReLU())), last)

    def features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The body's hidden states, (prompts, tokens, hidden size); without a gradient where it is frozen."""
        with torch.set_grad_enabled(not self.frozen and torch.is_grad_enabled()):
            hidden: torch.Tensor = self.body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return hidden

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits (prompts, tokens, 2) of the head, and of the probe where there are fresh layers."""
        probe = None
        if self.upper is not None:
            features, probe = self.upper(features, mask)
        return self.head(features.float()), probe

    def learned(self) -> dict[str, torch.Tensor]:
        """The weights that training changes, by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}


def save_prm(model: PrmModel, tokenizer: Any, folder: Path) -> None:
    """Write body, new layers and head as one model, with its tokenizer, in Hugging Face's layout."""
    body = model.body.merge_and_unload() if model.config.part == "lora" else model.body
    depth = body.config.num_hidden_layers
    weights = {f"model.{name}": weight for name, weight in body.state_dict().items()}
    if model.upper is not None:
        for name, weight in model.upper.model.state_dict().items():
            deeper = re.sub(r"(?<=^layers\.)\d+", lambda found: str(depth + int(found[0])), name)
            weights[f"model.{deeper}"] = weight
    linear = [layer for layer in model.head if isinstance(layer, torch.nn.Linear)]
    for name, layer in zip(model.layer_names, linear, strict=True):
        weights |= {f"{name}.{part}": weight for part, weight in layer.state_dict().items()}
    kind = type(body).__name__.removesuffix("Model")
    settings = {key: value for key, value in body.config.to_dict().items() if key != "layer_types"}
    config = type(body.config)(**{**settings, "num_hidden_layers": depth + model.config.extra_layers})
    config.architectures = [ARCHITECTURES[model.config.family].format(kind=kind)]
    config.num_labels = 2
    dtype = body.dtype if model.config.dtype == "auto" else getattr(torch, model.config.dtype)
    config.dtype = str(dtype).removeprefix("torch.")
    folder.mkdir(parents=True, exist_ok=True)
    save_torch_state_dict({name: weight.to(dtype).contiguous() for name, weight in weights.items()}, folder)
    config.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
