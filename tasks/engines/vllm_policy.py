"""A policy in vLLM."""

from typing import Any

from tasks.engines.chat import encode_chat, load_tokenizer
from tasks.engines.config import VllmPolicyConfig
from tasks.engines.models import ModelFiles, require
from tasks.engines.spelling import Speller
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply
from tasks.problems.prompts import known_style, messages
from tasks.records import Sample, Sampling


class PolicyPrompts:
    """Questions as prompt tokens, without the engine: for checking that every problem fits before any is sampled."""

    def __init__(self, config: VllmPolicyConfig, model: ModelFiles) -> None:
        self.tokenizer = load_tokenizer(model, config.trust_remote_code)
        self._style = known_style(config.prompt_style, model.name, str(model.config.get("model_type")))
        self._known: dict[str, tuple[int, ...]] = {}

    def prompt(self, question: str) -> tuple[int, ...]:
        """The prompt's token ids, the same for every call about this question."""
        if question not in self._known:
            self._known[question] = tuple(encode_chat(self.tokenizer, messages(self._style, question)))
        return self._known[question]


class VllmPolicy:
    """Samples from a vLLM engine, token ids in and token ids out."""

    def __init__(self, copies: VllmCopies, prompts: PolicyPrompts) -> None:
        self._copies = copies
        self.prompt = prompts.prompt
        self._speller = Speller(prompts.tokenizer)
        vllm = require("vllm", INSTALL)
        self._parameters = vllm.SamplingParams
        self._only_final = require("vllm.sampling_params", INSTALL).RequestOutputKind.FINAL_ONLY

    @classmethod
    async def open(cls, config: VllmPolicyConfig, model: ModelFiles) -> "VllmPolicy":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        prompts = PolicyPrompts(config, model)
        return cls(await VllmCopies.start(config, model, {}), prompts)

    async def generate(self, question: str, path: tuple[Sample, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        prefix = [*self.prompt(question), *(token for sample in path for token in sample.tokens)]
        parameters = self._parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            seed=seed,
            logprobs=0,
            flat_logprobs=True,
            detokenize=bool(sampling.stop),  # vLLM must read along only where it must find a stop string
            output_kind=self._only_final,
        )
        try:
            output = await self._copies.submit(prefix, parameters)
        except ValueError as error:
            raise BadReply(f"vLLM refused the prompt of {question[:80]!r}: {error}") from error
        return self._sample(output, sampling)

    def _sample(self, output: Any, sampling: Sampling) -> Sample:
        completion = output.outputs[0]
        if completion.finish_reason not in ("stop", "length"):
            raise BadReply(f"vLLM ended a request with {completion.finish_reason!r}")
        text, ends = self._speller.spell(list(completion.token_ids))
        if sampling.stop:  # the tokens of the stop string are in the list but not in the text
            text = completion.text
            ends = tuple(min(end, len(text)) for end in ends)
        return Sample(
            text=text,
            tokens=tuple(completion.token_ids),
            token_ends=ends,
            logprobs=tuple(completion.logprobs.logprobs),
            stop_reason="delimiter" if completion.stop_reason in sampling.stop else completion.finish_reason,
            prompt_tokens=len(output.prompt_token_ids),
            cached_tokens=output.num_cached_tokens,
        )

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
