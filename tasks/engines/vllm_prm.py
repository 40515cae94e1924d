"""A PRM in vLLM: the pooling runner returns the head's numbers for each token, and the layout says which ones count.

vLLM's own STEP pooling picks the marks itself but cannot use the prefix cache (docs/decisions.md); picking them here
can, so that a search which asks about one new step pays for little more than that step.
"""

import asyncio
from typing import Any

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import VllmPrmConfig
from tasks.engines.families import VLLM_HEADS, Head, checked_family
from tasks.engines.models import ModelFiles, require
from tasks.engines.prm_prompts import Layout, PrmPrompt, single_token
from tasks.engines.torch_models import scores_of
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply, EngineUnavailable
from tasks.records import Scores


class VllmPrm:
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, copies: VllmCopies, layout: Layout) -> None:
        self._copies = copies
        self._layout = layout
        self._parameters = require("vllm", INSTALL).PoolingParams

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        family = checked_family(config.family, model.config, model.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(f"vLLM cannot compute the head of PRM family {config.family!r}: set engine: torch")
        tokenizer = load_tokenizer(model, config.trust_remote_code)
        layout = family.layout(tokenizer)
        return cls(await VllmCopies.start(config, model, _pooling_arguments(family.head, tokenizer)), layout)

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        """See `Prm.score`."""
        prompts = self._layout.write(question, steps, from_step)
        # What is read from the cache has no rows. The steps before `from_step` may well be there; all steps never are.
        use_cache = from_step > 0 or len(prompts) > 1
        parts = await asyncio.gather(*(self._score(question, prompt, use_cache) for prompt in prompts))
        values = tuple(value for part in parts for value in part.values)
        return Scores(values, sum(part.input_tokens for part in parts), sum(part.cached_tokens or 0 for part in parts))

    async def _score(self, question: str, prompt: PrmPrompt, use_cache: bool) -> Scores:
        logits = await self._logits(question, prompt, use_cache)
        if prompt.places and prompt.places[0] < len(prompt.ids) - len(logits):
            logits = await self._logits(question, prompt, use_cache=False)
        cached = len(prompt.ids) - len(logits)
        values = scores_of(logits[[place - cached for place in prompt.places]])
        return Scores(tuple(values), len(prompt.ids), cached)

    async def _logits(self, question: str, prompt: PrmPrompt, use_cache: bool) -> Any:
        """(tokens, 1 or 2) for each token that was computed: the last ones, where a prefix was in the cache."""
        parameters = self._parameters(task="token_classify", skip_reading_prefix_cache=not use_cache)
        try:
            output = await self._copies.submit(list(prompt.ids), parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {question[:80]!r}: {error}") from error
        return output.outputs.data.float()

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()


def _pooling_arguments(head: Head, tokenizer: Any) -> dict[str, Any]:
    """What makes vLLM return the head's bare numbers for every token."""
    pooler = require("vllm.config", INSTALL).PoolerConfig(pooling_type="ALL", use_activation=False)
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
