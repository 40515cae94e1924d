"""Chain of thought: one greedy solution, the baseline of Liu et al. 2025."""

from dataclasses import replace

from overthink.tasks.methods.requests import Generate, Method, Outcome, expect_samples
from overthink.tasks.records import Sampling, whole_rollout


def cot(sampling: Sampling) -> Method:
    """One solution at temperature 0, whatever temperature `sampling` holds."""
    replies = yield [Generate((), 0, replace(sampling, temperature=0.0, top_p=1.0))]
    (sample,) = expect_samples(replies)
    return Outcome((whole_rollout(0, sample),))
