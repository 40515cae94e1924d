"""DeepConf online (Fu et al. 2025, arXiv 2508.15260): rollouts are ended where the policy becomes too unsure.

The first rollouts are drawn to their ends. Each has a lowest confidence, that of its least sure group of tokens; a
percentile of them is the bar for the others, which are drawn in chunks and end with the first group below it. Whatever
fell below the bar has stop reason `confidence` and does not vote, the first rollouts too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from overthink.tasks.analysis.confidence import group_means, lowest_group
from overthink.tasks.methods.chunks import in_chunks
from overthink.tasks.methods.confident_steps import confidences_of
from overthink.tasks.methods.requests import Generate, Method, Outcome, Search
from overthink.tasks.methods.thinking import Thinking, solution, solutions
from overthink.tasks.records import Part, Rollout, Sample, Sampling, answer_parts, path_text


@dataclass(frozen=True)
class DeepConfRule:
    """How rollouts are watched: `warm_up` of them set the bar that `keep` percent of them reach.

    `group` is the number of tokens of a group, `chunk` that of what is drawn before groups are looked at. Where
    `consensus` is given, drawing ends once an answer has that share of the vote, which is looked at every `wave`.
    """

    warm_up: int
    keep: int
    group: int
    chunk: int
    wave: int
    consensus: float | None


def deepconf(
    sampling: Sampling, n: int, rule: DeepConfRule, answer_of: Callable[[str], str | None], thinking: Thinking | None
) -> Method:
    """Draw N solutions, fewer where they agree, of which those that fall below the bar end there."""
    first = yield from solutions(sampling, thinking, range(min(rule.warm_up, n)))
    bar = float(np.percentile([lowest(rollout.path, rule.group) for rollout in first], 100 - rule.keep))
    rollouts = [judged(rollout, bar, rule.group) for rollout in first]
    while len(rollouts) < n and not _agree(rollouts, rule, answer_of):
        size = n if rule.consensus is None else rule.wave
        indices = range(len(rollouts), min(len(rollouts) + size, n))
        rollouts += yield [watched(sampling, thinking, index, bar, rule) for index in indices]
    return Outcome(tuple(rollouts))


def watched(
    sampling: Sampling, thinking: Thinking | None, index: int, bar: float, rule: DeepConfRule
) -> Search[Rollout]:
    """One solution, which ends with the first group of tokens below the bar."""
    search = _one(sampling, thinking, index)
    request = _only(next(search))
    while True:
        before = confidences_of(request.path)

        def fallen(sample: Sample, before: Sequence[float] = before) -> int | None:
            return _fallen((*before, *confidences_of((sample,))), len(before), bar, rule.group)

        sample, has_fallen = yield from in_chunks(request, rule.chunk, fallen)
        if has_fallen:
            thinks = thinking is not None and request.sampling.marks[:1] == (thinking.marks.close,)
            return Rollout(index, (*request.path, replace(sample, is_reasoning=thinks)), "confidence")
        try:
            request = _only(search.send([sample]))
        except StopIteration as finished:
            return judged(finished.value, bar, rule.group)


def _one(sampling: Sampling, thinking: Thinking | None, index: int) -> Search[Rollout]:
    if thinking is not None:
        return (yield from solution(sampling, thinking, index))
    (rollout,) = yield from solutions(sampling, None, [index])
    return rollout


def _only(batch: Sequence[object]) -> Generate:
    (request,) = batch
    assert isinstance(request, Generate), "one solution asks for one piece at a time"
    return request


def _fallen(confidences: Sequence[float], before: int, bar: float, group: int) -> int | None:
    """Behind how many of the tokens from `before` on the first group below the bar ends; None where none is."""
    if len(confidences) < group:
        return None
    new = max(0, before - group + 1)  # the groups that end before it were looked at
    below = np.flatnonzero(group_means(np.array(confidences[new:]), group) < bar)
    return int(new + below[0] + group - before) if len(below) else None


def judged(rollout: Rollout, bar: float, group: int) -> Rollout:
    """A whole rollout, marked where its lowest group is below the bar."""
    return rollout if lowest(rollout.path, group) >= bar else replace(rollout, stop_reason="confidence")


def lowest(path: Sequence[Part], group: int) -> float:
    """The confidence of a path's least sure group; of all its tokens where they are fewer, 0 where there are none."""
    confidences = confidences_of(path)
    return lowest_group(group_means(np.array(confidences), group)) if confidences else 0.0


def _agree(rollouts: Sequence[Rollout], rule: DeepConfRule, answer_of: Callable[[str], str | None]) -> bool:
    """Whether one answer has the share of the vote at which drawing ends; votes weigh as much as the lowest group."""
    if rule.consensus is None:
        return False
    votes: dict[str, float] = {}
    for rollout in rollouts:
        answer = None if rollout.stop_reason == "confidence" else answer_of(path_text(answer_parts(rollout.path), ""))
        if answer is not None:
            votes[answer] = votes.get(answer, 0.0) + lowest(rollout.path, rule.group)
    return bool(votes) and max(votes.values()) >= rule.consensus * sum(votes.values())
