"""What the checks of `benchmarks.gpu_checks` work with: the machine's cards, and models of a size that fits them."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.random_models import LARGE, TINY, write_policy, write_prm
from overthink.tasks.datasets.chains import generate_chains
from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.engine_protocol import Policy
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.engines.vllm.settings import gpu_count
from overthink.tasks.records import Sample, Sampling

# Models of the checks that look at answers; a user may name real ones.
POLICY = os.environ.get("OVERTHINK_GPU_POLICY", "zoo/abacus-1m")
PRM = os.environ.get("OVERTHINK_GPU_PRM", "zoo/abacus-prm")
AWQ = os.environ.get("OVERTHINK_GPU_AWQ")
CONTEXT = 512 if PRM.startswith("zoo/") else 4096  # tokens that the PRM reads
GIB = 2**30


class Skipped(Exception):
    """A check that this machine cannot run, and why."""


@dataclass(frozen=True)
class Setting:
    """The machine, and the folder for models with random weights, which the checks share."""

    folder: Path
    cards: int

    @classmethod
    def here(cls, folder: Path) -> "Setting":
        """Of this machine."""
        return cls(folder, gpu_count())

    def need(self, cards: int = 1, capability: tuple[int, int] = (0, 0)) -> None:
        """Raise Skipped where there are fewer cards, or older ones."""
        if self.cards < cards:
            raise Skipped(f"needs {cards} card{'s' * (cards > 1)}, this machine has {self.cards}")
        if cards and (found := torch.cuda.get_device_capability(0)) < capability:
            raise Skipped(f"needs compute capability {capability[0]}.{capability[1]}, GPU 0 has {found[0]}.{found[1]}")

    @property
    def requests(self) -> int:
        """How many solutions a measurement of speed asks for at once."""
        return 256 if self.cards else 8

    def random_policy(self) -> str:
        """The folder of a policy with random weights: 1.3 B parameters on a card."""
        folder = self.folder / "random-policy"
        if not (folder / "config.json").exists():
            write_policy(folder, LARGE if self.cards else TINY, "bfloat16")
        return str(folder)

    def random_prm(self) -> str:
        """The folder of a PRM with random weights of the same shape."""
        folder = self.folder / "random-prm"
        if not (folder / "config.json").exists():
            write_prm(folder, LARGE if self.cards else TINY, "bfloat16")
        return str(folder)

    def config(self, model: str | None = None, **changes: Any) -> VllmPolicyConfig:
        """A policy of a recipe, by default the one with random weights."""
        placement = {"gpu_memory": 0.5, "cpu_cache_gib": 1} | changes.pop("placement", {})
        values = {"model": model or self.random_policy(), "dtype": "bfloat16", "max_model_len": 512}
        return VllmPolicyConfig.model_validate(values | changes | {"placement": placement})


def used_gib(card: int) -> float:
    """Memory of a card that is taken, by whomever."""
    free, total = torch.cuda.mem_get_info(card)
    return float(total - free) / GIB


def questions(count: int) -> list[str]:
    """So many questions, each unlike the others."""
    return [f"{number}: {chain.question}" for number, chain in enumerate(generate_chains("test", count, 1, 12, 3))]


async def written(policy: Policy, asked: list[str], tokens: int = 64) -> list[Sample]:
    """The greedy solution of each question, all asked at once."""
    sampling = Sampling(0.0, 1.0, tokens)
    return list(await asyncio.gather(*(policy.generate(question, (), sampling, 0) for question in asked)))


def same(some: list[Sample], others: list[Sample]) -> int:
    """How many are the same tokens with the same log-probabilities."""
    return sum(
        (one.tokens, one.logprobs) == (other.tokens, other.logprobs) for one, other in zip(some, others, strict=True)
    )


async def speed_of(config: VllmPolicyConfig, requests: int, tokens: int = 128) -> tuple[float, list[Sample]]:
    """Tokens a second of a policy that is loaded and warmed up for it, and what it wrote."""
    policy = await open_policy(config)
    try:
        await written(policy, questions(requests)[:8], 8)
        begin = time.perf_counter()
        samples = await written(policy, questions(requests), tokens)
        seconds = time.perf_counter() - begin
    finally:
        await policy.close()
    assert all(sample.tokens for sample in samples), "a request was answered without a token"
    return sum(len(sample.tokens) for sample in samples) / seconds, samples
