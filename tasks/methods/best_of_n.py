"""Best-of-N: N independent whole solutions; a selector then picks an answer."""

from overthink.tasks.methods.requests import Generate, Method, Outcome, expect_samples
from overthink.tasks.records import Sampling, whole_rollout


def best_of_n(sampling: Sampling, indices: range) -> Method:
    """Sample the solutions of these numbers."""
    replies = yield [Generate((), index, sampling) for index in indices]
    samples = expect_samples(replies)
    return Outcome(tuple(whole_rollout(*numbered) for numbered in zip(indices, samples, strict=True)))
