"""Continuations of prefixes: how often a policy is right in the end after a step (Math-Shepherd, Wang et al. 2024)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.records import Sample, Sampling

Prefix = tuple[str, ...]  # the steps so far


@dataclass(frozen=True)
class ContinuationCounts:
    """The numbers of right and of wrong continuations of a prefix."""

    right: int = 0
    wrong: int = 0

    def __add__(self, other: "ContinuationCounts") -> "ContinuationCounts":
        return ContinuationCounts(self.right + other.right, self.wrong + other.wrong)

    @property
    def count(self) -> int:
        """The number of graded continuations."""
        return self.right + self.wrong

    @property
    def label(self) -> float | None:
        """The share of right ones, in [0, 1]; None where there are none."""
        return self.right / self.count if self.count else None


def count_verdicts(verdicts: Sequence[bool | None]) -> ContinuationCounts:
    """Count grades; unknown ones do not count."""
    return ContinuationCounts(right=verdicts.count(True), wrong=verdicts.count(False))


def count_prefixes(rollouts: Sequence[tuple[Prefix, bool | None]]) -> dict[Prefix, ContinuationCounts]:
    """Every proper prefix of some graded rollouts, with the counts of the rollouts that contain it.

    Rollouts are draws from the policy after each of their own prefixes, so they need not be drawn again.
    """
    found: dict[Prefix, ContinuationCounts] = defaultdict(ContinuationCounts)
    for steps, verdict in rollouts:
        for end in range(1, len(steps)):
            found[steps[:end]] += count_verdicts([verdict])
    return dict(found)


def hopeful(known: Mapping[Prefix, ContinuationCounts], depth: int) -> list[Prefix]:
    """The prefixes of `depth` steps that have a right continuation before their last step, in order.

    After a step without any right continuation, later steps are assumed wrong too, and get no draws.
    """
    return [prefix for prefix in known if len(prefix) == depth and (depth == 1 or known[prefix[:-1]].right)]


def continue_prefixes(
    paths: Mapping[Prefix, tuple[Sample, ...]], counts: Mapping[Prefix, int], sampling: Sampling
) -> Search[dict[Prefix, list[Sample]]]:
    """Draw continuations of each prefix; `paths` holds the prefixes as the policy's samples."""
    asked = [(prefix, number) for prefix in paths for number in range(counts[prefix])]
    samples = expect_samples((yield [Generate(paths[prefix], number, sampling) for prefix, number in asked]))
    drawn: dict[Prefix, list[Sample]] = {prefix: [] for prefix in paths}
    for (prefix, _), sample in zip(asked, samples, strict=True):
        drawn[prefix].append(sample)
    return drawn
