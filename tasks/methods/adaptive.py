"""Best-of-N that stops once the leading answer cannot plausibly lose (Aggarwal et al. 2023, adaptive consistency)."""

from collections import Counter
from collections.abc import Callable, Sequence

import scipy

from overthink.tasks.methods.requests import Generate, Method, Outcome, expect_samples
from overthink.tasks.records import Sample, Sampling, whole_rollout


def adaptive(sampling: Sampling, n: int, wave: int, threshold: float, answer_of: Callable[[str], str | None]) -> Method:
    """Draw solutions in waves of `wave`, up to N, until P(the leader is the likelier answer) >= `threshold`.

    `answer_of` extracts the answer; a solution without one does not vote.
    """
    samples: list[Sample] = []
    while len(samples) < n:
        indices = range(len(samples), min(len(samples) + wave, n))
        samples += expect_samples((yield [Generate((), index, sampling) for index in indices]))
        if certainty([answer_of(sample.text) for sample in samples]) >= threshold:
            break
    return Outcome(tuple(whole_rollout(index, sample) for index, sample in enumerate(samples)))


def certainty(answers: Sequence[str | None]) -> float:
    """P(the leading answer is likelier than the next), in [0.5, 1], for votes a against b and a uniform prior.

    That is the mass above 1/2 of Beta(a + 1, b + 1).
    """
    votes = [count for _, count in Counter(answer for answer in answers if answer is not None).most_common(2)]
    leader, runner_up = [*votes, 0, 0][:2]
    return float(scipy.special.betaincc(leader + 1, runner_up + 1, 0.5))
