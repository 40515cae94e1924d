"""A PRM in vLLM: the pooling runner returns the head's numbers for each token, and the layout says which ones count.

vLLM's own STEP pooling picks the marks itself but cannot use the prefix cache (docs/decisions.md); picking them here
can, so that a search which asks about one new step pays for little more than that step.
"""

from typing import Any

from tasks.engines.chat import load_tokenizer
from tasks.engines.config import VllmPrmConfig
from tasks.engines.families import VLLM_HEADS, Head, checked_family
from tasks.engines.models import ModelFiles, context_length, require
from tasks.engines.prm_prompts import Layout, PrmPrompt, single_token
from tasks.engines.token_prm import Read, TokenPrm
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply, EngineUnavailable


class VllmPrm(TokenPrm):
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, copies: VllmCopies, layout: Layout, limit: int | None) -> None:
        super().__init__(layout, limit)
        self._copies = copies
        self._parameters = require("vllm", INSTALL).PoolingParams

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        family = checked_family(config.family, model.config, model.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(f"vLLM cannot compute the head of PRM family {config.family!r}: set engine: torch")
        tokenizer = load_tokenizer(model, config.trust_remote_code)
        layout = family.layout(tokenizer)
        copies = await VllmCopies.start(config, model, pooling_arguments(family.head, tokenizer))
        return cls(copies, layout, context_length(config.max_model_len, model))

    async def _read(self, prompt: PrmPrompt, question: str, use_cache: bool) -> Read:
        parameters = self._parameters(task="token_classify", skip_reading_prefix_cache=not use_cache)
        try:
            output = await self._copies.submit(list(prompt.ids), parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {question[:80]!r}: {error}") from error
        rows = output.outputs.data.float()  # of the last tokens, where a prefix was in the cache
        cached = len(prompt.ids) - len(rows)
        return Read(rows[[place - cached for place in prompt.places if place >= cached]], cached)

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
