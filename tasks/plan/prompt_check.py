"""Checks, before any engine is loaded, that every prompt leaves the policy room for an answer."""

from collections.abc import Iterable
from dataclasses import dataclass

from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import context_length
from overthink.tasks.engines.policy_prompts import PolicyPrompts, files_of_prompts
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


@dataclass(frozen=True)
class PromptLength:
    """The tokens of a problem's prompt, and how many `model` reads, prompt and answer together; None where unknown."""

    problem_id: str
    tokens: int
    model: str
    limit: int | None

    def room_for(self, max_tokens: int) -> str:
        """Whether an answer of so many tokens fits behind the prompt."""
        if self.limit is None:
            return f"how many {self.model} reads is not known here"
        room = max(0, self.limit - self.tokens)
        fits = "fits" if max_tokens <= room else "does not fit, so answers are cut there"
        return f"{self.model} reads {self.limit}, so an answer has room for {room}: {max_tokens} (sampling) {fits}"


@dataclass(frozen=True)
class SizedPrompts:
    """The prompts of a policy whose tokens are ours, and how many it reads."""

    prompts: PolicyPrompts
    model: str
    limit: int | None

    def length(self, problem: Problem) -> PromptLength:
        """How long a problem's prompt is."""
        return PromptLength(problem.problem_id, len(self.prompts.prompt(problem.asked)), self.model, self.limit)


def sized_prompts(config: PolicyConfig) -> SizedPrompts | None:
    """A policy's prompts; None where their tokens are made elsewhere. Raises EngineUnavailable."""
    model = files_of_prompts(config)
    if model is None:
        return None
    assert isinstance(config, VllmPolicyConfig | OpenAIPolicyConfig)
    return SizedPrompts(PolicyPrompts(config, model), model.name, context_length(config.max_model_len, model))


def longest_prompt(config: PolicyConfig, problems: Iterable[Problem]) -> PromptLength | None:
    """The longest prompt; None where their tokens are made elsewhere.

    Raises ProblemError where it leaves the policy no room for an answer.
    """
    prompts = sized_prompts(config)
    if prompts is None:
        return None
    longest = max(map(prompts.length, problems), key=lambda length: length.tokens)
    if longest.limit is not None and longest.tokens >= longest.limit:
        raise ProblemError(
            f"problem {longest.problem_id}: its prompt has {longest.tokens} tokens, but {longest.model} reads "
            f"{longest.limit}; raise policy.max_model_len or drop the problem"
        )
    return longest
