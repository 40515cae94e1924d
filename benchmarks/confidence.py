"""Sampling with confidences against sampling with log-probabilities alone, in the run's own vLLM engine.

Both ask the same engine for the same prompts with the same seeds; the rounds alternate, so that a noisy machine
disturbs both. A model with random weights and a head of 151,936 tokens shows what the 20 likeliest of so many cost.

    python -m benchmarks.confidence --requests 400 --rounds 25
"""

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.token_signals import TOP_LOGPROBS
from overthink.tasks.engines.vllm.copies import VllmCopies
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.records import Sampling

SMALL = "zoo/abacus-1m"
VOCABULARY = 151_936
BAR = 0.90


def with_large_head(folder: Path) -> Path:
    """The small policy with random weights and a head of 151,936 tokens."""
    small = locate_model(VllmPolicyConfig(model=SMALL)).folder
    shutil.copytree(small, folder)
    settings = json.loads((small / "config.json").read_text()) | {"vocab_size": VOCABULARY}
    (folder / "config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(folder)))
    model.save_pretrained(str(folder))
    return folder


async def written(copies: VllmCopies, prompts: list[list[int]], sampling: Sampling, seed: int) -> float:
    """Tokens per second."""
    begin = time.perf_counter()
    asked = (copies.submit(Write(ids, sampling, [], seed + number)) for number, ids in enumerate(prompts))
    texts = await asyncio.gather(*asked)
    return sum(len(text.tokens) for text in texts) / (time.perf_counter() - begin)


async def rounds_of(model: str, requests: int, rounds: int) -> list[tuple[float, float]]:
    """Tokens per second with log-probabilities alone and with confidences, a pair a round."""
    config = VllmPolicyConfig(model=model, max_model_len=512)
    files = locate_model(config)
    prompts = PolicyPrompts(config, files)
    asked = [list(prompts.prompt(f"Take {number}, plus 11. What is the result?")) for number in range(requests)]
    copies = await VllmCopies.start(config, files, {})
    if model != SMALL:  # it never ends by itself, and a token costs it 25 times as much
        del asked[max(1, requests // 8) :]
    tokens = 256 if model == SMALL else 16
    alone, sure = (Sampling(0.8, 1.0, tokens, top_logprobs=top) for top in (0, TOP_LOGPROBS))
    pairs = []
    try:
        for sampling in (alone, sure):
            await written(copies, asked, sampling, 0)
        for number in range(1, rounds + 1):
            seed = number * 1_000_000
            order = (alone, sure) if number % 2 else (sure, alone)
            speeds = {sampling.top_logprobs: await written(copies, asked, sampling, seed) for sampling in order}
            pairs.append((speeds[0], speeds[TOP_LOGPROBS]))
    finally:
        await copies.close()
    return pairs


def main(
    requests: Annotated[int, typer.Option(help="Solutions a round.")] = 400,
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the median counts.")] = 25,
) -> None:
    """Print tokens per second of both and their ratio, for each model."""
    table = Table("model", "log-probabilities, tokens/s", "with confidences, tokens/s", "median ratio", "lowest")
    with tempfile.TemporaryDirectory() as root:
        large = str(with_large_head(Path(root) / "large"))
        for name, model in ((SMALL, SMALL), (f"random, {VOCABULARY:,} tokens", large)):
            pairs = asyncio.run(rounds_of(model, requests, rounds))
            alone, sure = (statistics.median(speeds) for speeds in zip(*pairs, strict=True))
            ratios = [with_it / without for without, with_it in pairs]
            median = f"{statistics.median(ratios):.2f}"
            table.add_row(name, f"{alone:,.0f}", f"{sure:,.0f}", median, f"{min(ratios):.2f}")
    console = Console(width=110)
    console.print(table)
    console.print(f"bar: {BAR:.2f}, {requests} requests × {rounds} rounds")


if __name__ == "__main__":
    typer.run(main)
