"""A policy behind OpenAI-compatible endpoints: by token ids where vLLM serves it, else by chat, for whole solutions."""

import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from overthink.tasks.domains.prompts import Message
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig
from overthink.tasks.engines.http.endpoints import Endpoints, ModelCard
from overthink.tasks.engines.http.openai_replies import Chats, Completions, Usage, WrittenSteps, signals_of
from overthink.tasks.engines.http.served_steps import ServedSteps, WrittenLine
from overthink.tasks.engines.models import ModelFiles, context_length
from overthink.tasks.engines.policy_prompts import PolicyPrompts, chat_of, files_of_prompts
from overthink.tasks.engines.token_policy import TokenPolicy, WrittenText
from overthink.tasks.engines.token_signals import TOP_LOGPROBS
from overthink.tasks.errors import BadReply, EngineUnavailable
from overthink.tasks.records import Part, Sample, Sampling, UserTurn

logger = logging.getLogger(__name__)

# A server takes the first three from the model's generation_config.json where a request does not say otherwise.
FURTHER = ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
PROBE = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)
AT_DEFAULT = {name: getattr(PROBE, name) for name in FURTHER}


@dataclass(frozen=True)
class PromptPrefix:
    """Token ids, and how to go on from them; see `TokenPolicy._write`."""

    ids: list[int]
    sampling: Sampling
    stop_ids: list[int]
    seed: int | None


class CompletionsPolicy(TokenPolicy):
    """Samples from vLLM's server, token ids in and out, through our middleware or its completions endpoint."""

    def __init__(self, endpoints: Endpoints, model: str, prompts: PolicyPrompts, limit: int | None) -> None:
        super().__init__(prompts, limit)
        self._endpoints = endpoints
        self._model = model
        self._top_logprobs = TOP_LOGPROBS
        self._steps = ServedSteps(endpoints, "/steps/write", model, WrittenLine[WrittenSteps], self._understand)

    @classmethod
    async def open(cls, config: OpenAIPolicyConfig, tokenizer: ModelFiles) -> "CompletionsPolicy":
        """Find out who answers, and whether they can continue prefixes. Raises EngineUnavailable with the remedy."""
        endpoints = Endpoints(config, config.endpoints, "/models")
        try:
            cards = await endpoints.cards(must_list=True)
            limit = served_length(config, tokenizer, cards)
            policy = cls(endpoints, config.model, PolicyPrompts(config, tokenizer), limit)
            await policy._probe()
        except BadReply as error:
            await endpoints.close()
            raise EngineUnavailable(f"{error}; or leave out `tokenizer`, for cot and best_of_n by chat") from error
        except BaseException:
            await endpoints.close()
            raise
        return policy

    async def _probe(self) -> None:
        """Ask for one token, and find out whether the likeliest tokens can be had. Raises BadReply."""
        try:
            await self.generate("1+1", (), replace(PROBE, top_logprobs=TOP_LOGPROBS), seed=0)
        except BadReply as refusal:
            self._top_logprobs = 0
            await self.generate("1+1", (), PROBE, seed=0)
            logger.warning(
                "%s does not say how sure it is, so confidences stay unknown: serve it with --max-logprobs %d (%s)",
                self._model,
                TOP_LOGPROBS,
                refusal,
            )

    async def _write(
        self, question: str, prefix: list[int], sampling: Sampling, stop_ids: list[int], seed: int | None
    ) -> WrittenText:
        room = sampling.max_tokens if self.limit is None else min(sampling.max_tokens, self.limit - len(prefix))
        if room < 1:
            raise BadReply(f"{self._model} refused the prompt of {question[:80]!r}: it reads {self.limit} tokens")
        sampling = replace(sampling, max_tokens=room, top_logprobs=min(sampling.top_logprobs, self._top_logprobs))
        written = await self._steps.ask(PromptPrefix(prefix, sampling, stop_ids, seed))
        return await self._complete(question, prefix, sampling, stop_ids, seed) if written is None else written

    @staticmethod
    def _understand(url: str, prefix: PromptPrefix, shown: WrittenSteps) -> WrittenText:
        for numbers in (shown.logprobs, shown.confidences, shown.entropies):
            if numbers is not None and len(numbers) != len(shown.tokens):
                raise BadReply(
                    f"{url} gave {len(numbers)} log-probabilities for {len(shown.tokens)} tokens behind "
                    f"{len(prefix.ids)}"
                )
        signals = shown.confidences, shown.entropies
        return WrittenText(shown.tokens, shown.logprobs, shown.finish_reason, shown.cached, *signals)

    async def _complete(
        self, question: str, prefix: list[int], sampling: Sampling, stop_ids: list[int], seed: int | None
    ) -> WrittenText:
        body = further_settings(sampling) | {
            "model": self._model,
            "prompt": prefix,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop_token_ids": stop_ids,
            "stop": list(sampling.stop),
            "logprobs": sampling.top_logprobs,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,  # tokens of one spelling would be one entry of top_logprobs
        }
        body |= {} if seed is None else {"seed": seed}
        body |= {"allowed_token_ids": list(sampling.only)} if sampling.only else {}
        url, reply = await self._endpoints.post("/completions", body, Completions)
        choice = reply.choices[0]
        if choice.token_ids is None or choice.prompt_token_ids is None:
            raise BadReply(
                f"{url} gives no token ids, so no prefix can be continued as it was written: serve {self._model} with "
                "vLLM"
            )
        if choice.prompt_token_ids != prefix:
            raise BadReply(f"{url} read other tokens than it was sent for {question[:80]!r}: serve with vLLM alone")
        logprobs = [] if choice.logprobs is None else choice.logprobs.token_logprobs
        if len(logprobs) != len(choice.token_ids):
            raise BadReply(
                f"{url} gave {len(logprobs)} log-probabilities for {len(choice.token_ids)} tokens of {question[:80]!r}"
            )
        cached = None if reply.usage is None else reply.usage.cached_tokens
        signals = signals_of(url, choice.logprobs, sampling.top_logprobs)
        return WrittenText(choice.token_ids, logprobs, choice.finish_reason, cached, *signals)

    async def close(self) -> None:
        """Close the connections."""
        self._steps.close()
        await self._endpoints.close()


class ChatPolicy:
    """Whole solutions from a chat endpoint, which gives no tokens and often no probabilities."""

    def __init__(self, endpoints: Endpoints, config: OpenAIPolicyConfig) -> None:
        self._endpoints = endpoints
        self._model = config.model
        self._chat = partial(chat_of, config, None)
        self._variables = config.prompt.chat_template_kwargs
        self._seeded = config.reproducible == "run"

    @classmethod
    async def open(cls, config: OpenAIPolicyConfig) -> "ChatPolicy":
        """Find out whether an endpoint answers. Raises EngineUnavailable where none does, or the key is refused."""
        endpoints = Endpoints(config, config.endpoints, "/models")
        try:
            await endpoints.cards(must_list=False)
        except BaseException:
            await endpoints.close()
            raise
        return cls(endpoints, config)

    def prompt(self, question: str) -> tuple[int, ...]:
        """The characters of the chat, as its tokens are made elsewhere."""
        return tuple(map(ord, json.dumps(self._chat(question), ensure_ascii=False)))

    def tokens(self, text: str, begins: bool) -> tuple[int, ...]:  # noqa: ARG002
        """Raises BadReply: a chat cannot continue text as if the policy had written it."""
        raise BadReply(f"{self._model} is asked by chat, which cannot go on from {text[:80]!r}: name its `tokenizer`")

    def tokens_of(self, part: Part) -> tuple[int, ...]:
        """See `Policy.tokens_of`; of a chat the characters of its messages, which only whole answers and turns are."""
        message: Message = {"role": "user" if isinstance(part, UserTurn) else "assistant", "content": part.text}
        return tuple(map(ord, json.dumps(message, ensure_ascii=False)))

    async def generate(self, question: str, path: tuple[Part, ...], sampling: Sampling, seed: int) -> Sample:
        """See `Policy.generate`; `path` holds answers and turns in turn."""
        if (
            not all(isinstance(part, UserTurn if place % 2 else Sample) for place, part in enumerate(path))
            or len(path) % 2
        ):
            raise BadReply(f"{self._model} is asked by chat, which cannot go on from a step: name its `tokenizer`")
        further = [
            {"role": "user" if isinstance(part, UserTurn) else "assistant", "content": part.text} for part in path
        ]
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [*self._chat(question), *further],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        body |= {"seed": seed} if self._seeded else {}
        # At their defaults they are not sent, as most endpoints know only some of them.
        body |= {name: value for name, value in further_settings(sampling).items() if value != AT_DEFAULT[name]}
        if sampling.stop or sampling.ends:
            body["stop"] = [*sampling.stop, *sampling.ends]
        if self._variables:
            body["chat_template_kwargs"] = self._variables  # vLLM's addition
        url, reply = await self._endpoints.post("/chat/completions", body, Chats)
        choice, usage = reply.choices[0], reply.usage or Usage()
        text = choice.message.text
        if choice.finish_reason not in ("stop", "length") or text is None:
            raise BadReply(f"{url} ended {question[:80]!r} with {choice.finish_reason!r} and no whole text")
        return Sample(
            text=text,
            tokens=(),
            token_ends=(),
            logprobs=(),
            stop_reason="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            shown=False,
            counted=usage.completion_tokens,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoints.close()


async def open_openai(config: OpenAIPolicyConfig) -> CompletionsPolicy | ChatPolicy:
    """The policy by token ids where its tokenizer is named, else by chat. Raises EngineUnavailable, with the remedy."""
    tokenizer = files_of_prompts(config)
    if tokenizer is None:
        return await ChatPolicy.open(config)
    return await CompletionsPolicy.open(config, tokenizer)


def further_settings(sampling: Sampling) -> dict[str, Any]:
    """The settings beyond temperature, top_p and max_tokens, in vLLM's words."""
    settings = {name: getattr(sampling, name) for name in FURTHER}
    if sampling.repetition is not None:
        names = ("min_pattern_size", "max_pattern_size", "min_count")
        settings["repetition_detection"] = dict(zip(names, sampling.repetition, strict=True))
    return settings


def served_length(config: OpenAIPolicyConfig, tokenizer: ModelFiles, cards: list[ModelCard]) -> int | None:
    """The context length of all endpoints. Raises EngineUnavailable where the recipe asks for more."""
    served = [card.max_model_len for card in cards if card.max_model_len is not None]
    if config.max_model_len is not None and served and min(served) < config.max_model_len:
        raise EngineUnavailable(
            f"{config.model} is served with {min(served)} tokens, but max_model_len is {config.max_model_len}: lower "
            "it, or serve the model with --max-model-len"
        )
    known = [length for length in (context_length(config.max_model_len, tokenizer), *served) if length is not None]
    return min(known, default=None)
