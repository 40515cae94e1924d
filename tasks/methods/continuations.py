"""Continuations of prefixes: how often a policy that goes on from a step still ends right (Math-Shepherd's labels)."""

from collections.abc import Mapping, Sequence

from tasks.methods.protocol import Generate, Search, expect_samples
from tasks.records import Sample, Sampling

Prefix = tuple[str, ...]  # the steps so far


def continue_prefixes(
    paths: Mapping[Prefix, tuple[Sample, ...]], count: int, sampling: Sampling
) -> Search[dict[Prefix, list[Sample]]]:
    """Draw `count` ends of the solution after each prefix; `paths` holds the prefixes as the policy would read them."""
    requests = [Generate(path, number, sampling) for path in paths.values() for number in range(count)]
    samples = expect_samples((yield requests))
    return {prefix: samples[place * count : (place + 1) * count] for place, prefix in enumerate(paths)}


def open_prefixes(solutions: Sequence[Prefix]) -> list[Prefix]:
    """Every different prefix of some solutions that is not the whole of it, in order, from the shortest of each."""
    return list(dict.fromkeys(steps[:end] for steps in solutions for end in range(1, len(steps))))
