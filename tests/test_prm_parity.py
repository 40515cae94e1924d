"""abacus-prm gives the same numbers in vLLM, in our torch engine, and in a forward pass written out by hand."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2Config, Qwen2Model

from overthink.tasks.datasets.chains import Chain, generate_chains
from overthink.tasks.engines.engine_config import TorchPrmConfig, VllmPrmConfig
from overthink.tasks.engines.registry import open_prm

ZOO = Path(__file__).parents[1] / "zoo"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
Rollouts = list[tuple[str, tuple[str, ...]]]
Numbers = npt.NDArray[np.float64]


def rollouts(count: int) -> Rollouts:
    """Half of them right, half with one digit of one step changed."""
    return [
        (chain.question, _steps(chain, number)) for number, chain in enumerate(generate_chains("test", count, 1, 12, 3))
    ]


def _steps(chain: Chain, number: int) -> tuple[str, ...]:
    steps = list(chain.steps)
    if number % 2:
        place = number % len(chain.operations)
        steps[place] = steps[place][:-1] + str((int(steps[place][-1]) + 1) % 10)
    return tuple(steps)


@torch.inference_mode()
def by_hand(rows: Rollouts) -> list[list[float]]:
    """A forward pass in float32 that shares no code with the engines."""
    folder = ZOO / "abacus-prm"
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    body = Qwen2Model(Qwen2Config(**json.loads((folder / "config.json").read_text()))).float().eval()
    body.load_state_dict({name[len("model.") :]: t for name, t in weights.items() if name.startswith("model.")})
    mark = tokenizer.convert_tokens_to_ids("<extra_0>")
    scores = []
    for question, steps in rows:
        text = (
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            + "".join(f"{step}<extra_0>" for step in steps)
            + "<|im_end|>\n"
        )
        ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
        hidden = body(input_ids=ids).last_hidden_state[0][ids[0] == mark]
        inner = torch.relu(hidden @ weights["score.0.weight"].T + weights["score.0.bias"])
        logits = inner @ weights["score.2.weight"].T + weights["score.2.bias"]
        scores.append(torch.softmax(logits, -1)[:, 1].tolist())
    return scores


async def scored(config: TorchPrmConfig | VllmPrmConfig, rows: Rollouts) -> list[tuple[float, ...]]:
    prm = await open_prm(config)
    found = await asyncio.gather(*(prm.score(question, steps, 0) for question, steps in rows))
    await prm.close()
    return [scores.values for scores in found]


def flat(scores: Sequence[Sequence[float]]) -> Numbers:
    return np.array([score for row in scores for score in row])


async def test_torch_in_float32_equals_a_direct_forward_pass() -> None:
    rows = rollouts(40)
    found = await scored(TorchPrmConfig(model="zoo/abacus-prm", dtype="float32"), rows)
    for ours, expected in zip(found, by_hand(rows), strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


@dataclass(frozen=True)
class InBfloat16:
    """Every step's score on 200 rollouts, by each engine in bfloat16 and by hand in float32."""

    torch: Numbers
    vllm: Numbers
    exact: Numbers


@pytest.fixture(scope="module")
def in_bfloat16(forked_engines: None) -> InBfloat16:
    rows = rollouts(200)
    vllm = VllmPrmConfig(model="zoo/abacus-prm", dtype="bfloat16", max_model_len=512)
    return InBfloat16(
        torch=flat(asyncio.run(scored(TorchPrmConfig(model="zoo/abacus-prm", dtype="bfloat16"), rows))),
        vllm=flat(asyncio.run(scored(vllm, rows))),
        exact=flat(by_hand(rows)),
    )


@pytest.mark.engine
def test_vllm_and_torch_agree_in_bfloat16_on_200_rollouts(in_bfloat16: InBfloat16) -> None:
    assert len(in_bfloat16.exact) > 1000
    assert abs(in_bfloat16.vllm - in_bfloat16.torch).max() <= 0.02


@pytest.mark.engine
def test_vllm_in_bfloat16_is_as_true_to_float32_as_torch(in_bfloat16: InBfloat16) -> None:
    """What bfloat16 costs at all bounds how close two engines can come."""
    errors = {name: abs(getattr(in_bfloat16, name) - in_bfloat16.exact) for name in ("torch", "vllm")}
    assert errors["vllm"].mean() <= 1.25 * errors["torch"].mean()
    assert abs(in_bfloat16.vllm - in_bfloat16.torch).mean() <= 0.01


@pytest.mark.engine
async def test_vllm_in_float32_equals_a_direct_forward_pass(forked_engines: None) -> None:
    rows = rollouts(40)
    found = await scored(VllmPrmConfig(model="zoo/abacus-prm", dtype="float32", max_model_len=512), rows)
    for ours, expected in zip(found, by_hand(rows), strict=True):
        assert ours == pytest.approx(expected, abs=1e-3)
