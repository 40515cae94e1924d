"""A PRM in vLLM: the pooling runner returns the head's numbers for each token, and the layout says which ones count.

vLLM's own STEP pooling picks the marks itself but cannot use the prefix cache (docs/decisions.md); picking them here
can, so that a search which asks about one new step pays for little more than that step.
"""

import asyncio
from typing import Any

from cachetools import LRUCache

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import VllmPrmConfig
from tasks.engines.families import VLLM_HEADS, Head, checked_family
from tasks.engines.models import ModelFiles, require
from tasks.engines.prm_prompts import REMEMBERED, Layout, PrmPrompt, single_token
from tasks.engines.torch_models import scores_of
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply, EngineUnavailable
from tasks.records import Scores

Key = tuple[str, tuple[str, ...]]  # a question and the steps up to the one that is judged


class VllmPrm:
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, copies: VllmCopies, layout: Layout) -> None:
        self._copies = copies
        self._layout = layout
        self._known: LRUCache[Key, float] = LRUCache(REMEMBERED)
        self._parameters = require("vllm", INSTALL).PoolingParams

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        family = checked_family(config.family, model.config, model.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(f"vLLM cannot compute the head of PRM family {config.family!r}: set engine: torch")
        tokenizer = load_tokenizer(model, config.trust_remote_code)
        layout = family.layout(tokenizer)
        return cls(await VllmCopies.start(config, model, pooling_arguments(family.head, tokenizer)), layout)

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        prompts = self._layout.write(question, steps, from_step)
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
        logits = await self._logits(prompt, asked, use_cache=True)
        cached = len(prompt.ids) - len(logits)
        # What is read from the cache has no rows; but whoever computed it asked about the same steps.
        before = [self._known.get(key) for key, place in zip(asked, prompt.places, strict=True) if place < cached]
        if None in before:
            logits, cached, before = await self._logits(prompt, asked, use_cache=False), 0, []
        places = [place - cached for place in prompt.places[len(before) :]]
        values = [score for score in before if score is not None] + scores_of(logits[places])
        self._known.update(zip(asked, values, strict=True))
        return Scores(tuple(values), len(prompt.ids), cached)

    async def _logits(self, prompt: PrmPrompt, asked: list[Key], use_cache: bool) -> Any:
        """(tokens, 1 or 2) for each token that was computed: the last ones, where a prefix was in the cache."""
        parameters = self._parameters(task="token_classify", skip_reading_prefix_cache=not use_cache)
        try:
            output = await self._copies.submit(list(prompt.ids), parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {asked[0][0][:80]!r}: {error}") from error
        return output.outputs.data.float()

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()


def pooling_arguments(head: Head, tokenizer: Any) -> dict[str, Any]:
    """What makes vLLM return the head's bare numbers for every token."""
    settings = pooling_settings(head, tokenizer)
    return settings | {"pooler_config": require("vllm.config", INSTALL).PoolerConfig(**settings["pooler_config"])}


def pooling_settings(head: Head, tokenizer: Any) -> dict[str, Any]:
    """The same in plain values, as vLLM's server takes them."""
    pooler = {"pooling_type": "ALL", "use_activation": False}
    arguments: dict[str, Any] = {"runner": "pooling", "pooler_config": pooler}
    if head.layers == ("score",):
        arguments["convert"] = "classify"
    if head.tokens is not None:
        ids = [single_token(tokenizer, token) for token in head.tokens]
        arguments["convert"] = "classify"
        arguments["hf_overrides"] = {
            "classifier_from_token": tokenizer.convert_ids_to_tokens(ids),
            "method": "no_post_processing",
            "num_labels": len(ids),
        }
    return arguments
