"""Models with random weights: their texts and scores mean nothing, their cost is that of any model of their shape."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2Model

from overthink.zoo.tokenizer import build_tokenizer, save_tokenizer

TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
# 105 M parameters as a PRM
SMALL = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 11,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
}
# The body of Qwen2.5-1.5B: 1.3 B parameters with so small a vocabulary
LARGE = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
}


def write_prm(folder: Path, shape: dict[str, int], dtype: str = "float32") -> int:
    """A Qwen2 process reward model with its tokenizer; returns its number of parameters."""
    config, tokenizer = _settings(shape, dtype)
    size = config.hidden_size
    model = torch.nn.Module()
    model.model = Qwen2Model(config)
    model.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))
    config.architectures = ["Qwen2ForProcessRewardModel"]
    weights = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    config.save_pretrained(str(folder))
    save_tokenizer(tokenizer, folder)
    return sum(tensor.numel() for tensor in weights.values())


def write_policy(folder: Path, shape: dict[str, int], dtype: str) -> int:
    """A Qwen2 language model with its tokenizer; returns its number of parameters."""
    config, tokenizer = _settings(shape, dtype)
    model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
    model.save_pretrained(str(folder))
    save_tokenizer(tokenizer, folder)
    return sum(tensor.numel() for tensor in model.parameters())


def _settings(shape: dict[str, int], dtype: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    config = Qwen2Config(vocab_size=len(tokenizer), max_position_embeddings=4096, **shape)
    config.dtype = dtype
    config.eos_token_id = tokenizer.eos_token_id
    return config, tokenizer
