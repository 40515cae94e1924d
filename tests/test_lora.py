"""A LoRA adapter in real vLLM, against the same weights put together in transformers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import build_prm
from transformers import AutoModelForCausalLM

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.records import Sampling

RANK, ALPHA = 4, 8
PLACE = "model.layers.{}.mlp.down_proj"


def write_adapter(folder: Path, shape: tuple[int, int], layers: int) -> dict[str, torch.Tensor]:
    """An adapter of random numbers; returns what it adds to each weight."""
    torch.manual_seed(3)
    stored, added = {}, {}
    for layer in range(layers):
        name = PLACE.format(layer)
        below, above = torch.randn(RANK, shape[1]) * 0.2, torch.randn(shape[0], RANK) * 0.2
        stored[f"base_model.model.{name}.lora_A.weight"] = below
        stored[f"base_model.model.{name}.lora_B.weight"] = above
        added[f"{name}.weight"] = above @ below * ALPHA / RANK
    folder.mkdir()
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["down_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(stored, folder / "adapter_model.safetensors")
    return added


@pytest.mark.engine
@pytest.mark.usefixtures("forked_engines")
async def test_what_is_written_is_what_the_weights_with_the_adapter_write(tmp_path: Path) -> None:
    folder = build_prm("verifier", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    weights = model.state_dict()
    added = write_adapter(tmp_path / "adapter", weights[PLACE.format(0) + ".weight"].shape, layers=3)
    config = VllmPolicyConfig(model=str(folder), lora=str(tmp_path / "adapter"), dtype="float32", max_model_len=256)
    policy = await open_policy(config)
    sample = await policy.generate("1 + 1?", (), Sampling(0.0, 1.0, 24), seed=0)
    prompt = list(policy.prompt("1 + 1?"))
    await policy.close()

    def greedy() -> list[int]:
        ids = list(prompt)
        while len(ids) < len(prompt) + len(sample.tokens):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        return ids[len(prompt) :]

    without = greedy()
    model.load_state_dict({name: weight + added.get(name, 0) for name, weight in weights.items()})
    assert list(sample.tokens) == greedy()
    assert list(sample.tokens) != without
