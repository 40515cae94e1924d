"""Checks of a PRM: torch beside vLLM, throughput, and what a tree's common prefixes save."""

import asyncio
import random
import time
from typing import Any

from benchmarks.gpu_setting import CONTEXT, PRM, Setting
from benchmarks.prm import QUESTION, one_at_a_time, ours, searched, some_steps
from overthink.tasks.datasets.chains import generate_chains
from overthink.tasks.engines.engine_config import TorchPrmConfig, VllmPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.torch.torch_prm import TorchPrm
from overthink.tasks.engines.vllm.vllm_prm import VllmPrm

MOST_APART = 0.02
TORCH_LIMIT, VLLM_LIMIT = 1.30, 2.50  # tokens computed, of those a perfect cache computes; vLLM's has blocks


async def opened(setting: Setting, engine: str, model: str) -> TorchPrm | VllmPrm:
    """A PRM in bfloat16 with half of a card."""
    values: dict[str, Any] = {"model": model, "dtype": "bfloat16", "max_model_len": CONTEXT if model == PRM else 4096}
    values["placement"] = {"gpu_memory": 0.5, "cpu_cache_gib": 2, "batch_tokens": 32768 if setting.cards else 2048}
    if engine == "torch":
        config = TorchPrmConfig.model_validate(values)
        return TorchPrm(config, locate_model(config))
    served = VllmPrmConfig.model_validate(values)
    return await VllmPrm.open(served, locate_model(served))


async def parity(setting: Setting) -> str:
    """torch and vLLM give a step the same score in bfloat16, to 0.02."""
    rows = [
        (chain.question, tuple(chain.steps))
        for chain in generate_chains("test", 200 if setting.cards else 40, 1, 12, 3)
    ]
    found = []
    for engine in ("torch", "vllm"):
        prm = await opened(setting, engine, PRM)
        try:
            scores = await asyncio.gather(*(prm.score(question, steps, 0) for question, steps in rows))
        finally:
            await prm.close()
        found.append([value for one in scores for value in one.values])
    apart = [abs(one - other) for one, other in zip(*found, strict=True)]
    figure = f"{len(apart)} steps, at most {max(apart):.4f} apart, {sum(apart) / len(apart):.4f} on average"
    assert max(apart) <= MOST_APART, figure
    return figure


async def torch_prm(setting: Setting) -> str:
    """Batches by tokens give the scores that prompts one by one have, faster on a card."""
    source = random.Random(1)
    rollouts = [some_steps(source, source.randint(1, 24)) for _ in range(256 if setting.cards else 16)]
    rates, values = [], []
    for way in (one_at_a_time, ours):
        prm = await opened(setting, "torch", setting.random_prm())
        assert isinstance(prm, TorchPrm)
        try:
            await prm.score(QUESTION, ("1+1=2",), 0)
            begin = time.perf_counter()
            await way(prm, rollouts)
            seconds = time.perf_counter() - begin
            tokens = sum(len(prm._layout.write(QUESTION, steps, 0)[0].ids) for steps in rollouts)
            values.append([(await prm.score(QUESTION, steps, 0)).values for steps in rollouts[:16]])
        finally:
            await prm.close()
        rates.append(tokens / seconds)
    alone, batched = rates
    figure = f"{batched:,.0f} tokens/s, one at a time {alone:,.0f}"
    apart = max(abs(a - b) for one, other in zip(*values, strict=True) for a, b in zip(one, other, strict=True))
    assert apart <= MOST_APART, f"scores are {apart:.3f} apart"
    assert not setting.cards or batched > alone, figure
    return figure


async def prefix_reuse(setting: Setting) -> str:
    """Over a beam search's tree a PRM computes little more than a cache without blocks or limits would."""
    problems, n, depth = (16, 16, 12) if setting.cards else (2, 4, 6)
    told = []
    for engine, limit in (("torch", TORCH_LIMIT), ("vllm", VLLM_LIMIT)):
        prm = await opened(setting, engine, setting.random_prm())
        try:
            seconds, computed, perfect = await searched(prm, problems, n, depth, whole=False)
        finally:
            await prm.close()
        told.append(f"{engine} {computed / perfect:.2f} of perfect in {seconds:.1f} s")
        assert computed <= limit * perfect, told[-1]
    return ", ".join(told)
