"""Base of PRMs in vLLM: outputs for each computed token, and stored scores for cached tokens.

A prefix in the engine's cache is not computed again, so it has no outputs; but an earlier request for the same steps
had them, and its scores were kept.
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from overthink.tasks.engines.prm.layouts import REMEMBERED, Layout, PrmPrompt, check_fit
from overthink.tasks.engines.torch.torch_models import scores_of
from overthink.tasks.records import Scores

Key = tuple[str, tuple[str, ...]]  # a question and the steps up to the one that is judged


@dataclass(frozen=True)
class ReadPrompt:
    """What an engine read of a prompt: the head's numbers, (places, 1 or 2), at those places that were computed.

    `cached` is how many tokens came from the cache, whose places have no numbers.
    """

    logits: Any
    cached: int


class TokenPrm(ABC):
    """A PRM that receives token ids and returns the head's outputs for each, locally or from a server."""

    def __init__(self, layout: Layout, limit: int | None) -> None:
        self._layout = layout
        self._limit = limit
        self._known: LRUCache[Key, float] = LRUCache(REMEMBERED)

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        prompts = self._layout.write(question, steps, from_step)
        check_fit(prompts, question, self._limit)
        asked = [(question, steps[:count]) for count in range(from_step + 1, len(steps) + 1)]
        if len(prompts) == 1:
            return await self._score(prompts[0], asked)
        parts = await asyncio.gather(
            *(self._score(*one) for one in zip(prompts, ([key] for key in asked), strict=True))
        )
        values = tuple(value for part in parts for value in part.values)
        return Scores(values, sum(part.input_tokens for part in parts), sum(part.cached_tokens or 0 for part in parts))

    async def _score(self, prompt: PrmPrompt, asked: list[Key]) -> Scores:
        """Scores of the steps that end at the prompt's places."""
        read = await self._read(prompt, asked[0][0], use_cache=True)
        before = [self._known.get(key) for key, place in zip(asked, prompt.places, strict=True) if place < read.cached]
        if None in before:
            read, before = await self._read(prompt, asked[0][0], use_cache=False), []
        values = [score for score in before if score is not None] + scores_of(read.logits)
        self._known.update(zip(asked, values, strict=True))
        return Scores(tuple(values), len(prompt.ids), read.cached)

    @abstractmethod
    async def _read(self, prompt: PrmPrompt, question: str, use_cache: bool) -> ReadPrompt:
        """Read a prompt, all of it without `use_cache`; errors quote the question."""
