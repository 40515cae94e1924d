"""A policy in vLLM."""

import asyncio

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.lora import Adapter
from overthink.tasks.engines.models import ModelFiles, context_length
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.token_policy import TokenPolicy, WrittenText
from overthink.tasks.engines.vllm.copies import VllmCopies
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.engines.weights import LANGUAGE_MODEL, check_weights
from overthink.tasks.errors import BadReply
from overthink.tasks.records import Sampling


class VllmPolicy(TokenPolicy):
    """Samples from a vLLM engine, token ids in and token ids out."""

    def __init__(
        self, copies: VllmCopies, prompts: PolicyPrompts, limit: int | None, adapter: Adapter | None = None
    ) -> None:
        super().__init__(prompts, limit)
        self._copies = copies
        self._lora = None if adapter is None else str(adapter.folder)

    @classmethod
    async def open(cls, config: VllmPolicyConfig, model: ModelFiles) -> "VllmPolicy":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        prompts = PolicyPrompts(config, model)
        await asyncio.to_thread(check_weights, model, LANGUAGE_MODEL, False, config.trust_remote_code)
        adapter = None if config.lora is None else Adapter.at(config.lora)
        lora = {} if adapter is None else {"enable_lora": True, "max_loras": 1, "max_lora_rank": adapter.room()}
        copies = await VllmCopies.start(config, model, lora)
        return cls(copies, prompts, context_length(config.max_model_len, model), adapter)

    async def _write(
        self, question: str, prefix: list[int], sampling: Sampling, stop_ids: list[int], seed: int | None
    ) -> WrittenText:
        try:
            return await self._copies.submit(Write(prefix, sampling, stop_ids, seed, self._lora))
        except ValueError as error:
            raise BadReply(f"vLLM refused the prompt of {question[:80]!r}: {error}") from error

    @property
    def cache_tokens(self) -> int | None:
        """See `CachedPolicy`."""
        return self._copies.cache_tokens

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
