"""Best-of-N: N independent whole solutions; a selector then picks an answer (paper section 2)."""

from tasks.methods.protocol import Generate, Outcome, Search, expect_samples
from tasks.records import Rollout, Sampling


def best_of_n(sampling: Sampling, first: int, last: int) -> Search:
    """Sample solutions number `first` up to but not including `last`."""
    indices = range(first, last)
    replies = yield [Generate((), index, sampling) for index in indices]
    samples = expect_samples(replies)
    return Outcome(
        tuple(Rollout(index, (sample,), sample.stop_reason) for index, sample in zip(indices, samples, strict=True))
    )
