"""A PRM in vLLM: the pooling runner returns the head's numbers for each token, and the layout says which ones count.

vLLM's own STEP pooling picks the marks itself but cannot use the prefix cache (docs/decisions.md); picking them here
can, so that a search which asks about one new step pays for little more than that step.
"""

import asyncio
from typing import Any

from overthink.tasks.engines.engine_config import VllmPrmConfig
from overthink.tasks.engines.models import ModelFiles, context_length
from overthink.tasks.engines.prm.families import VLLM_HEADS, Head, checked_family, layout_of
from overthink.tasks.engines.prm.family_data import family_name
from overthink.tasks.engines.prm.layouts import Layout, PrmPrompt, single_token
from overthink.tasks.engines.prm.token_prm import ReadPrompt, TokenPrm
from overthink.tasks.engines.torch.torch_models import tensor_of
from overthink.tasks.engines.vllm.copies import VllmCopies
from overthink.tasks.engines.vllm.messages import ReadPlaces
from overthink.tasks.engines.weights import check_weights
from overthink.tasks.errors import BadReply, EngineUnavailable


class VllmPrm(TokenPrm):
    """Scores steps with a vLLM pooling engine."""

    def __init__(self, copies: VllmCopies, layout: Layout, limit: int | None) -> None:
        super().__init__(layout, limit)
        self._copies = copies

    @classmethod
    async def open(cls, config: VllmPrmConfig, model: ModelFiles) -> "VllmPrm":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        family = checked_family(config.family, model.config, model.name)
        if family.head.layers not in VLLM_HEADS:
            raise EngineUnavailable(
                f"vLLM cannot compute the head of PRM family {family_name(config.family)!r}: set engine: torch"
            )
        if model.folder_of("config.json") != model.folder or model.tokenizer_folder != model.folder:
            raise EngineUnavailable(f"vLLM reads nothing from a `base`, which {model.folder} needs: set engine: torch")
        await asyncio.to_thread(check_weights, model, family.head.weights, False, config.trust_remote_code)
        layout, tokenizer = layout_of(family, model, config.trust_remote_code)
        copies = await VllmCopies.start(config, model, pooling_settings(family.head, tokenizer))
        return cls(copies, layout, context_length(config.max_model_len, model))

    async def _read(self, prompt: PrmPrompt, question: str, use_cache: bool) -> ReadPrompt:
        try:
            rows = await self._copies.submit(ReadPlaces(list(prompt.ids), prompt.places, use_cache))
        except ValueError as error:
            raise BadReply(f"vLLM refused the PRM's prompt for {question[:80]!r}: {error}") from error
        return ReadPrompt(tensor_of(rows.numbers), rows.cached)

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()


def pooling_settings(head: Head, tokenizer: Any) -> dict[str, Any]:
    """What makes vLLM return the head's bare numbers for every token, in plain values."""
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
