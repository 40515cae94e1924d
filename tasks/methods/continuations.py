"""Continuations of prefixes: does a policy that goes on from a step still end right? (Math-Shepherd's step labels.)"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overthink.tasks.methods.requests import Generate, Search, expect_samples
from overthink.tasks.records import Sample, Sampling

Prefix = tuple[str, ...]  # the steps so far


@dataclass(frozen=True)
class ContinuationCounts:
    """How many continuations of a prefix ended right, and how many wrong."""

    right: int = 0
    wrong: int = 0

    def __add__(self, other: "ContinuationCounts") -> "ContinuationCounts":
        return ContinuationCounts(self.right + other.right, self.wrong + other.wrong)

    @property
    def count(self) -> int:
        """How many could be graded."""
        return self.right + self.wrong

    @property
    def label(self) -> float | None:
        """The share that ended right, in [0, 1]; None where there are none."""
        return self.right / self.count if self.count else None


def count_verdicts(verdicts: Sequence[bool | None]) -> ContinuationCounts:
    """What grades say; a grade that is unknown says nothing."""
    return ContinuationCounts(right=verdicts.count(True), wrong=verdicts.count(False))


def count_prefixes(rollouts: Sequence[tuple[Prefix, bool | None]]) -> dict[Prefix, ContinuationCounts]:
    """Every prefix of some graded rollouts that is not the whole of one, with how those that go through it ended.

    Rollouts are draws from the policy after each of their own prefixes, so they need not be drawn again.
    """
    found: dict[Prefix, ContinuationCounts] = defaultdict(ContinuationCounts)
    for steps, verdict in rollouts:
        for end in range(1, len(steps)):
            found[steps[:end]] += count_verdicts([verdict])
    return dict(found)


def hopeful(known: Mapping[Prefix, ContinuationCounts], depth: int) -> list[Prefix]:
    """The prefixes of `depth` steps before whose last step some continuation ended right, in order.

    After a step from which nothing ends right, later ones are taken to be lost too, and nothing is spent on them.
    """
    return [prefix for prefix in known if len(prefix) == depth and (depth == 1 or known[prefix[:-1]].right)]


def continue_prefixes(
    paths: Mapping[Prefix, tuple[Sample, ...]], counts: Mapping[Prefix, int], sampling: Sampling
) -> Search[dict[Prefix, list[Sample]]]:
    """Draw some ends of the solution after each prefix; `paths` holds the prefixes as the policy would read them."""
    asked = [(prefix, number) for prefix in paths for number in range(counts[prefix])]
    samples = expect_samples((yield [Generate(paths[prefix], number, sampling) for prefix, number in asked]))
    drawn: dict[Prefix, list[Sample]] = {prefix: [] for prefix in paths}
    for (prefix, _), sample in zip(asked, samples, strict=True):
        drawn[prefix].append(sample)
    return drawn
