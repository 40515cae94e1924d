"""Checks, before any engine is loaded, that every prompt leaves the policy room for an answer."""

from collections.abc import Iterable

from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig, VllmPolicyConfig
from overthink.tasks.engines.models import context_length
from overthink.tasks.engines.policy_prompts import PolicyPrompts, files_of_prompts
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def check_prompts(config: PolicyConfig, problems: Iterable[Problem]) -> None:
    """Raise ProblemError for the first problem whose prompt leaves the policy no room for an answer."""
    model = files_of_prompts(config)
    if model is None:
        return
    assert isinstance(config, VllmPolicyConfig | OpenAIPolicyConfig)
    limit = context_length(config.max_model_len, model)
    if limit is None:
        return
    prompts = PolicyPrompts(config, model)
    for problem in problems:
        length = len(prompts.prompt(problem.asked))
        if length >= limit:
            raise ProblemError(
                f"problem {problem.problem_id}: its prompt has {length} tokens, but {model.name} reads {limit}; raise "
                "policy.max_model_len or drop the problem"
            )
