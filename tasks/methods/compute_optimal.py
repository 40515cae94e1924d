"""Runs a method after a pilot: its rollouts are numbered after the pilot's, and all their steps are scored."""

from collections import defaultdict
from dataclasses import replace

from overthink.tasks.methods.requests import Method, Outcome, Score, expect_scores
from overthink.tasks.records import Rollout, Scores, answer_parts, steps_of


def after_pilot(method: Method, pilot: int, delimiter: str) -> Method:
    """Run `method` for a problem that already has `pilot` rollouts; rollouts with the same steps are scored once.

    `delimiter` ends a step.
    """
    (outcome,) = yield [method]
    numbered = [replace(rollout, sample_index=pilot + place) for place, rollout in enumerate(outcome.rollouts)]
    alike: dict[tuple[str, ...], list[Rollout]] = defaultdict(list)
    for rollout in numbered:
        if rollout.scores is None:
            alike[_steps(rollout, delimiter)].append(rollout)
    asked = [Score(steps, 0, same[0].sample_index) for steps, same in alike.items() if steps]
    replies = expect_scores((yield asked))
    scores = {
        request.steps: reply.values for request, reply in zip(asked, replies, strict=True) if isinstance(reply, Scores)
    }
    scored = [
        rollout if rollout.scores is not None else replace(rollout, scores=scores.get(_steps(rollout, delimiter), ()))
        for rollout in numbered
    ]
    return Outcome(tuple(scored), outcome.nodes)


def _steps(rollout: Rollout, delimiter: str) -> tuple[str, ...]:
    return tuple(step.text for step in steps_of(answer_parts(rollout.path), delimiter))
