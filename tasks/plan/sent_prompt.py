"""What is sent to a policy about a problem, exactly, without loading it."""

import json
from collections import Counter
from dataclasses import dataclass

from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig
from overthink.tasks.engines.policy_prompts import chat_of
from overthink.tasks.plan.prompt_check import PromptLength, sized_prompts
from overthink.tasks.records import Problem


@dataclass(frozen=True)
class SentPrompt:
    """The text of a prompt; and where its tokens are ours, these, its `length`, and each special token with its count.

    Text from outside can hold the characters of a special token, but not the token: the counts tell them apart.
    """

    text: str
    ids: tuple[int, ...] | None = None
    length: PromptLength | None = None
    special: tuple[tuple[str, int], ...] = ()


def sent_prompt(config: PolicyConfig, problem: Problem) -> SentPrompt:
    """What a policy is sent about a problem. Raises EngineUnavailable where its tokenizer cannot be found or used."""
    sized = sized_prompts(config)
    if sized is None:
        return SentPrompt(_body(config, problem) if isinstance(config, OpenAIPolicyConfig) else problem.asked)
    ids = sized.prompts.prompt(problem.asked)
    words = {token: word for word, token in sized.prompts.tokenizer.get_added_vocab().items()}
    special = Counter(words[token] for token in ids if token in words)
    return SentPrompt(str(sized.prompts.tokenizer.decode(ids)), ids, sized.length(problem), tuple(special.items()))


def _body(config: OpenAIPolicyConfig, problem: Problem) -> str:
    """The part of a request to a chat endpoint that asks."""
    body: dict[str, object] = {"messages": chat_of(config, None, problem.asked)}
    if config.prompt.chat_template_kwargs:
        body["chat_template_kwargs"] = config.prompt.chat_template_kwargs
    return json.dumps(body, ensure_ascii=False, indent=2)
