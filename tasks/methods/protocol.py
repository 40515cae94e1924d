"""What a method asks for and what it returns.

A method is a generator: it yields batches of requests, is sent the replies in the same order, and returns an Outcome.
It holds no clock, no random state and no engine, so the same replies always give the same outcome.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from tasks.records import Rollout, Sample, Sampling, Scores


@dataclass(frozen=True)
class Generate:
    """Ask the policy to go on from `path` (the samples so far; empty at the question) with one sample."""

    path: tuple[Sample, ...]
    sample_index: int
    sampling: Sampling


@dataclass(frozen=True)
class Score:
    """Ask the PRM for the scores of `steps[from_step:]`, given the steps before."""

    steps: tuple[str, ...]
    from_step: int
    sample_index: int


Request = Generate | Score
Reply = Sample | Scores


@dataclass(frozen=True)
class Outcome:
    """The rollouts a method made, by ascending sample index."""

    rollouts: tuple[Rollout, ...]


Search = Generator[Sequence[Request], Sequence[Reply], Outcome]


def expect_samples(replies: Sequence[Reply]) -> list[Sample]:
    """The replies to Generate requests. Raises TypeError where the driver sent something else."""
    samples = [reply for reply in replies if isinstance(reply, Sample)]
    if len(samples) != len(replies):
        raise TypeError("a Generate request was answered with scores")
    return samples
