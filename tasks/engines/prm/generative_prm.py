"""A PRM over any policy engine: a model writes critiques, and its verdicts are the scores."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from overthink.tasks.engines.engine_protocol import Policy
from overthink.tasks.engines.policy_prompts import TURN
from overthink.tasks.engines.prm.judging import Judging
from overthink.tasks.engines.token_policy import TokenPolicy
from overthink.tasks.errors import PromptTooLong
from overthink.tasks.methods.requests import Ask, Score, Search
from overthink.tasks.records import Sample, Scores, Unscored


@dataclass(frozen=True)
class GenerativePrm:
    """Judges steps by what the policy below it writes."""

    policy: Policy
    judging: Judging

    def judge(self, question: str, asked: Score) -> Search[Scores | Unscored]:
        """See `Verifier.judge`."""
        return self.judging.scores(question, asked)

    def tokens_of(self, asked: Ask) -> Iterator[tuple[int, ...]]:
        """See `Verifier.tokens_of`."""
        return chain([self.policy.prompt(TURN.join(asked.turns))], map(self.policy.tokens_of, asked.path))

    async def write(self, asked: Ask, seed: int) -> Sample:
        """See `Verifier.write`."""
        self._check_fit(asked)
        sampling = asked.sampling
        if asked.forced is not None:
            sampling = replace(sampling, only=self.policy.tokens(asked.forced, begins=False)[:1])
        return await self.policy.generate(TURN.join(asked.turns), asked.path, sampling, seed)

    def _check_fit(self, asked: Ask) -> None:
        limit = self.policy.limit if isinstance(self.policy, TokenPolicy) else None
        length = 0 if limit is None else sum(map(len, self.tokens_of(asked)))
        if limit is not None and length >= limit and not any(isinstance(part, Sample) for part in asked.path):
            raise PromptTooLong(f"the verifier's prompt has {length} tokens; its context has {limit}")

    async def close(self) -> None:
        """Free the model."""
        await self.policy.close()
