"""What is kept while sampling, against the same numbers computed apart: from all logits of transformers, in float32."""

import asyncio

import pytest
import torch
from transformers import AutoModelForCausalLM

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.recipes.sampling_config import ConfidenceConfig
from overthink.tasks.records import Sample, Sampling
from overthink.tasks.stages.rollout_signals import RolloutSignals

ROLLOUTS, GROUP, TAIL = 50, 16, 24
CONFIG = VllmPolicyConfig(model="zoo/abacus-1m", dtype="float32", max_model_len=512)


async def rollouts() -> list[tuple[list[int], Sample]]:
    """Prompts, and what the engine wrote behind them."""
    policy = await open_policy(CONFIG)
    questions = [
        f"Take {number}, plus 11. Then times 3. Then minus 7. What is the result?" for number in range(ROLLOUTS)
    ]
    sampling = Sampling(1.0, 0.95, 256, top_logprobs=20)
    samples = await asyncio.gather(*(policy.generate(text, (), sampling, seed) for seed, text in enumerate(questions)))
    prompts = [list(policy.prompt(question)) for question in questions]
    await policy.close()
    return list(zip(prompts, samples, strict=True))


def computed_apart(model: torch.nn.Module, prompt: list[int], sample: Sample) -> dict[str, float]:
    ids = torch.tensor([[*prompt, *sample.tokens]])
    with torch.no_grad():
        logits = model(ids).logits[0, len(prompt) - 1 : -1].double()
    logprobs = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    drawn = logprobs.gather(1, torch.tensor(sample.tokens)[:, None])
    top = logprobs.sort(descending=True).values[:, :20]
    shares = top.exp() / top.exp().sum(dim=1, keepdim=True)
    confidences = -top.mean(dim=1)
    windows = confidences.unfold(0, min(GROUP, len(confidences)), 1).mean(dim=1).sort().values
    return {
        "logprob_mean": drawn.mean().item(),
        "entropy_mean": -(shares * shares.log()).sum(dim=1).mean().item(),
        "confidence_mean": confidences.mean().item(),
        "confidence_tail": confidences[-TAIL:].mean().item(),
        "confidence_lowest": windows[0].item(),
        "confidence_bottom": windows[: max(1, len(windows) // 10)].mean().item(),
    }


def test_every_signal_of_fifty_rollouts_is_what_all_logits_say() -> None:
    model = AutoModelForCausalLM.from_pretrained(str(locate_model(CONFIG).folder), dtype=torch.float32)
    signals = RolloutSignals(ConfidenceConfig(group=GROUP, tail=TAIL))
    drawn = asyncio.run(rollouts())
    assert sum(len(sample.tokens) for _, sample in drawn) > 20 * ROLLOUTS
    for prompt, sample in drawn:
        assert signals.of_rollout([sample]) == pytest.approx(computed_apart(model, prompt, sample), rel=1e-3)
