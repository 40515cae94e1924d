"""Base of policies that take token ids: the prompt of a path, and the end of a step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from overthink.tasks.engines.detokenize import Detokenizer
from overthink.tasks.engines.ends import Ends, EndTokens
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.errors import BadReply
from overthink.tasks.records import Part, Sample, SampleStop, Sampling

REASONS: dict[str, SampleStop] = {"stop": "stop", "length": "length", "repetition": "repetition"}
ROUNDING = 1e-3  # a log-probability of 0 may come out as a little more


@dataclass(frozen=True)
class WrittenText:
    """What an engine wrote after a prompt: token ids, the natural-log probability of each, and why it ended.

    `confidences` and `entropies`: see `token_signals`; None where they were not asked for or the engine has none.
    """

    tokens: list[int]
    logprobs: Sequence[float]
    finish_reason: str | None
    cached_tokens: int | None
    confidences: Sequence[float] | None = None
    entropies: Sequence[float] | None = None

    def then(self, further: "WrittenText") -> "WrittenText":
        """This text with what was written behind it."""
        return WrittenText(
            tokens=self.tokens + further.tokens,
            logprobs=[*self.logprobs, *further.logprobs],
            finish_reason=further.finish_reason,
            cached_tokens=self.cached_tokens,
            confidences=_both(self.confidences, further.confidences),
            entropies=_both(self.entropies, further.entropies),
        )


class TokenPolicy(ABC):
    """A policy that receives and returns token ids, locally or from a server."""

    def __init__(self, prompts: PolicyPrompts, limit: int | None) -> None:
        self.prompt = prompts.prompt
        self.tokens = prompts.tokens
        self.tokens_of = prompts.tokens_of
        self._seeded = prompts.seeded
        self.limit = limit
        self._vocabulary = prompts.vocabulary
        self._speller = Detokenizer(prompts.tokenizer)
        self._ends = Ends(prompts.tokenizer)
        self._as_asked: dict[Sampling, Sampling] = {}

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`."""
        prefix = [*self.prompt(question), *chain.from_iterable(map(self.tokens_of, path))]
        if path and self.limit is not None and len(prefix) >= self.limit:  # steps so far have filled the context
            return Sample("", (), (), (), "length", len(prefix))
        ends = self._ends.of(sampling)
        sent = seed if self._seeded else None
        written = await self._write_on(question, prefix, self._asked(sampling), ends, sent)
        return self._sample(written, len(prefix), sampling)

    def _asked(self, sampling: Sampling) -> Sampling:
        """What the engine is asked for, the same for each of a search's requests."""
        if sampling not in self._as_asked:
            top = min(sampling.top_logprobs, self._vocabulary)
            texts = self._ends.of(sampling).texts
            self._as_asked[sampling] = replace(sampling, stop=texts, marks=(), ends=(), top_logprobs=top)
        return self._as_asked[sampling]

    async def _write_on(
        self, question: str, prefix: list[int], sampling: Sampling, ends: EndTokens, seed: int | None
    ) -> WrittenText:
        """Continue `prefix` to an end; the last token of a mark of several tokens is one only behind the others."""
        whole = await self._write(question, prefix, sampling, ends.ids, seed)
        most = sampling.max_tokens if self.limit is None else min(sampling.max_tokens, self.limit - len(prefix))
        while ends.is_part_of_mark(whole.tokens) and whole.finish_reason == "stop":
            if len(whole.tokens) >= most:  # the engine stopped at what is no mark, where the room ended too
                return replace(whole, finish_reason="length")
            left = replace(sampling, max_tokens=sampling.max_tokens - len(whole.tokens))
            whole = whole.then(await self._write(question, prefix + whole.tokens, left, ends.ids, seed))
        return whole

    @abstractmethod
    async def _write(
        self, question: str, prefix: list[int], sampling: Sampling, stop_ids: list[int], seed: int | None
    ) -> WrittenText:
        """Continue `prefix` up to one of `stop_ids` or to one of the sampling's stop strings."""

    def _sample(self, written: WrittenText, prompt_tokens: int, sampling: Sampling) -> Sample:
        reason = REASONS.get(written.finish_reason or "")
        if reason is None:
            raise BadReply(f"vLLM ended a request with {written.finish_reason!r}")
        self._check(written, prompt_tokens, sampling)
        tokens = written.tokens
        text, ends = self._speller.decode(tokens)
        asked = self._ends.of(sampling)
        found = asked.first(tokens, text, ends)
        if found is None and reason == "length" and (begun := asked.begun_marks(tokens)):
            tokens, ends = tokens[:-begun], ends[:-begun]  # of a mark that the limit cut off nothing is kept
            text = text[: ends[-1] if ends else 0]
        if found is not None:
            # The token that completes the stop string is kept, so that the next step's prompt continues from it.
            tokens, text = tokens[: found.tokens], text[: found.begin]
            reason = "stop" if found.by in sampling.ends else "delimiter"
            ends = tuple(min(end, found.begin) for end in ends[: found.tokens])
        return Sample(
            text=text,
            tokens=tuple(tokens),
            token_ends=ends,
            logprobs=tuple(written.logprobs)[: len(tokens)],
            confidences=_cut(written.confidences, len(tokens)),
            entropies=_cut(written.entropies, len(tokens)),
            stop_reason=reason,
            prompt_tokens=prompt_tokens,
            cached_tokens=written.cached_tokens,
            ended_by=None if found is None else found.by,
        )

    def _check(self, written: WrittenText, prompt_tokens: int, sampling: Sampling) -> None:
        """Raise BadReply for impossible output, so that none of it reaches a figure."""
        fault = None
        if len(written.tokens) > sampling.max_tokens:
            fault = f"{len(written.tokens)} tokens, {sampling.max_tokens} being asked for"
        elif written.tokens and not 0 <= min(written.tokens) <= max(written.tokens) < self._vocabulary:
            fault = f"a token that is none of the tokenizer's {self._vocabulary}"
        elif not (all(map(math.isfinite, written.logprobs)) and max(written.logprobs, default=0.0) <= ROUNDING):
            fault = "a token whose log-probability is none: check the model's weights and dtype"
        elif not 0 <= (written.cached_tokens or 0) <= prompt_tokens:
            fault = f"{written.cached_tokens} cached tokens of a prompt of {prompt_tokens}"
        if fault is not None:
            raise BadReply(f"the policy answered with {fault}")


def _both(first: Sequence[float] | None, second: Sequence[float] | None) -> list[float] | None:
    return None if first is None or second is None else [*first, *second]


def _cut(signal: Sequence[float] | None, count: int) -> tuple[float, ...] | None:
    return None if signal is None else tuple(signal)[:count]
