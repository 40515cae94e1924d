"""A policy in vLLM."""

from tasks.engines.config import VllmPolicyConfig
from tasks.engines.models import ModelFiles, require
from tasks.engines.policy_prompts import PolicyPrompts, context_length
from tasks.engines.token_policy import TokenPolicy, Written
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply
from tasks.records import Sampling


class VllmPolicy(TokenPolicy):
    """Samples from a vLLM engine, token ids in and token ids out."""

    def __init__(self, copies: VllmCopies, prompts: PolicyPrompts, limit: int | None) -> None:
        super().__init__(prompts, limit)
        self._copies = copies
        vllm = require("vllm", INSTALL)
        self._parameters = vllm.SamplingParams
        self._only_final = require("vllm.sampling_params", INSTALL).RequestOutputKind.FINAL_ONLY

    @classmethod
    async def open(cls, config: VllmPolicyConfig, model: ModelFiles) -> "VllmPolicy":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        prompts = PolicyPrompts(config, model)
        return cls(await VllmCopies.start(config, model, {}), prompts, context_length(config, model))

    async def _write(
        self, question: str, prefix: list[int], sampling: Sampling, stop_ids: list[int], seed: int
    ) -> Written:
        parameters = self._parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop_token_ids=stop_ids,
            stop=[] if stop_ids else list(sampling.stop),
            seed=seed,
            logprobs=0,
            flat_logprobs=True,
            detokenize=bool(sampling.stop) and not stop_ids,  # vLLM reads along only to find a stop string
            output_kind=self._only_final,
        )
        try:
            output = await self._copies.submit(prefix, parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the prompt of {question[:80]!r}: {error}") from error
        completion = output.outputs[0]
        logprobs = [] if completion.logprobs is None else completion.logprobs.logprobs
        return Written(list(completion.token_ids), logprobs, completion.finish_reason, output.num_cached_tokens)

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
