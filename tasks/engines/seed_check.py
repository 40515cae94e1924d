"""Whether a policy writes the same tokens for the same seed: twice alone, and twice among other requests."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from overthink.tasks.engines.engine_protocol import Policy
from overthink.tasks.records import Sample, Sampling

ALONE, TOGETHER, MOST_TOKENS = 4, 32, 128


@dataclass(frozen=True)
class SeedCheck:
    """Of `count` solutions, how many were the same again alone, and how many of those among others were as alone."""

    count: int
    again: int
    among_others: int

    @property
    def holds(self) -> bool:
        """Whether all were the same."""
        return self.again == self.among_others == self.count


async def check_seeds(policy: Policy, questions: Sequence[str], sampling: Sampling) -> SeedCheck:
    """Draw solutions of a few questions, each with a seed of its own, in every company. Raises what the policy does."""
    drawn = replace(sampling, max_tokens=min(sampling.max_tokens, MOST_TOKENS), top_logprobs=0)

    async def draw(number: int) -> Sample:
        return await policy.generate(questions[number % len(questions)], (), drawn, seed=number)

    alone = [await draw(number) for number in range(ALONE)]
    again = [await draw(number) for number in range(ALONE)]
    crowds = [await asyncio.gather(*(draw(number) for number in range(TOGETHER))) for _ in range(2)]
    same = [_same(*pair) for pair in zip(alone, again, strict=True)]
    among = [all(_same(one, crowd[number]) for crowd in crowds) for number, one in enumerate(alone)]
    return SeedCheck(ALONE, sum(same), sum(among))


def _same(first: Sample, second: Sample) -> bool:
    return (first.text, first.tokens) == (second.text, second.tokens)
