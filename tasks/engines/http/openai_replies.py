"""The replies of OpenAI-compatible endpoints and of our middleware, checked as they come."""

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

from overthink.tasks.engines.http.http_client import Count
from overthink.tasks.engines.token_signals import token_signals
from overthink.tasks.errors import BadReply
from overthink.tasks.reasoning_marks import FAMILIES

THINK = FAMILIES["think"]


class PromptTokens(BaseModel):
    """The number of prompt tokens from the cache."""

    cached_tokens: Count | None = None


class Usage(BaseModel):
    """The endpoint's token counts; None where it gives none."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: PromptTokens | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens from the cache, where the endpoint says so."""
        return None if self.prompt_tokens_details is None else self.prompt_tokens_details.cached_tokens


class Logprobs(BaseModel):
    """Natural-log probabilities, one for each token that was written, and of the likeliest tokens in its place."""

    token_logprobs: list[FiniteFloat]
    top_logprobs: list[dict[str, FiniteFloat]] | None = None


class Completion(BaseModel):
    """One choice of the completions endpoint; the token ids are vLLM's addition."""

    finish_reason: str | None
    logprobs: Logprobs | None = None
    token_ids: list[Count] | None = None
    prompt_token_ids: list[Count] | None = None


class Completions(BaseModel):
    """The reply of the completions endpoint."""

    choices: list[Completion] = Field(min_length=1)
    usage: Usage | None = None


class Message(BaseModel):
    """The assistant's message; servers that read the model's reasoning return it apart, by one of two names."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None

    @property
    def text(self) -> str | None:
        """Reasoning between its marks, unfinished where no answer follows, and the answer; None without either."""
        thought = self.reasoning or self.reasoning_content
        if thought is None:
            return self.content
        return THINK.open + thought + (THINK.close + self.content if self.content else "")


class ChatChoice(BaseModel):
    """One choice of the chat endpoint."""

    finish_reason: str | None
    message: Message


class Chats(BaseModel):
    """The reply of the chat endpoint."""

    choices: list[ChatChoice] = Field(min_length=1)
    usage: Usage | None = None


class WrittenSteps(BaseModel):
    """What our middleware wrote from one prefix."""

    tokens: list[Count]
    logprobs: list[FiniteFloat]
    finish_reason: str | None
    cached: Count | None
    confidences: list[FiniteFloat] | None = None
    entropies: list[FiniteFloat] | None = None


def signals_of(url: str, logprobs: Logprobs | None, count: int) -> tuple[list[float], list[float]] | tuple[()]:
    """Confidences and entropies of the `count` likeliest tokens at each place. Raises BadReply where some lack."""
    if logprobs is None or not count:
        return ()
    # A drawn token that is not among them is the least likely of one more.
    top = [sorted(place.values(), reverse=True)[:count] for place in logprobs.top_logprobs or ()]
    if len(top) != len(logprobs.token_logprobs) or any(len(place) < count for place in top):
        raise BadReply(f"{url} gave not the {count} likeliest tokens at each place")
    return token_signals(np.array(top).reshape(len(top), count))
