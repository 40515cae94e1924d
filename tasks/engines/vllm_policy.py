"""A policy in vLLM."""

from typing import Any

from tasks.engines.chat import encode_chat, encode_text, load_tokenizer
from tasks.engines.config import VllmPolicyConfig
from tasks.engines.models import ModelFiles, context_length, require
from tasks.engines.spelling import Speller, StopTokens
from tasks.engines.vllm_copies import VllmCopies
from tasks.engines.vllm_loop import INSTALL
from tasks.errors import BadReply
from tasks.problems.prompts import known_style, messages
from tasks.records import Sample, SampleStop, Sampling


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

    def tokens(self, text: str) -> tuple[int, ...]:
        """The token ids of text from outside."""
        return tuple(encode_text(self.tokenizer, text))


class VllmPolicy:
    """Samples from a vLLM engine, token ids in and token ids out."""

    def __init__(self, copies: VllmCopies, prompts: PolicyPrompts, limit: int | None) -> None:
        self._copies = copies
        self._limit = limit
        self.prompt = prompts.prompt
        self.tokens = prompts.tokens
        self._speller = Speller(prompts.tokenizer)
        self._stops = StopTokens(prompts.tokenizer)
        vllm = require("vllm", INSTALL)
        self._parameters = vllm.SamplingParams
        self._only_final = require("vllm.sampling_params", INSTALL).RequestOutputKind.FINAL_ONLY

    @classmethod
    async def open(cls, config: VllmPolicyConfig, model: ModelFiles) -> "VllmPolicy":
        """Load the model. Raises EngineUnavailable where it cannot be."""
        prompts = PolicyPrompts(config, model)
        return cls(await VllmCopies.start(config, model, {}), prompts, context_length(config, model))

    async def generate(self, question: str, path: tuple[Sample, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        prefix = [*self.prompt(question), *(token for sample in path for token in sample.tokens)]
        if path and self._limit is not None and len(prefix) >= self._limit:  # steps so far have filled the context
            return Sample("", (), (), (), "length", len(prefix))
        ids = [token for stop in sampling.stop for token in self._stops.tokens_with(stop)]
        parameters = self._parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop_token_ids=ids,
            stop=[] if ids else list(sampling.stop),
            seed=seed,
            logprobs=0,
            flat_logprobs=True,
            detokenize=bool(sampling.stop) and not ids,  # vLLM must read along only where it must find a stop string
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
        tokens = list(completion.token_ids)
        text, ends = self._speller.spell(tokens)
        reason: SampleStop = completion.finish_reason
        stops = [(text.index(stop), stop) for stop in sampling.stop if stop in text]
        if stops:
            # The token that completes the stop string is kept, so that the next step's prompt goes on from it.
            begin, stop = min(stops)
            count = next((number for number, end in enumerate(ends, 1) if end >= begin + len(stop)), len(tokens))
            tokens, text, reason = tokens[:count], text[:begin], "delimiter"
            ends = tuple(min(end, begin) for end in ends[:count])
        return Sample(
            text=text,
            tokens=tuple(tokens),
            token_ends=ends,
            logprobs=tuple(completion.logprobs.logprobs)[: len(tokens)],
            stop_reason=reason,
            prompt_tokens=len(output.prompt_token_ids),
            cached_tokens=output.num_cached_tokens,
        )

    async def close(self) -> None:
        """Free the engine."""
        await self._copies.close()
