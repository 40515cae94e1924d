"""Labelled rollouts as token ids, with a target at the place where each step is judged."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.engines.prm.layouts import Layout
from overthink.tasks.errors import UserError


@dataclass(frozen=True)
class LabelledRollout:
    """A rollout with the share, in [0, 1], of continuations that ended right for each step; None where unknown."""

    problem_key: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]


@dataclass(frozen=True)
class Example:
    """One prompt: its tokens, the number of the question's tokens, the judged places, and P(right) at each place."""

    ids: tuple[int, ...]
    question_tokens: int
    places: tuple[int, ...]
    targets: tuple[float, ...]


@dataclass(frozen=True)
class TrainingRollouts:
    """The labelled rollouts for training, and the delimiter that ended their steps."""

    rollouts: Sequence[LabelledRollout]
    delimiter: str


def of_solved_problems(rollouts: Sequence[LabelledRollout]) -> list[LabelledRollout]:
    """The rollouts of problems with any right continuation.

    Elsewhere the labels show that the problem is too hard for the policy, not which steps are wrong.
    """
    solved = {rollout.problem_key for rollout in rollouts if any(rollout.labels)}
    return [rollout for rollout in rollouts if rollout.problem_key in solved]


def make_examples(
    layout: Layout, rollouts: Iterable[LabelledRollout], labels: Literal["hard", "soft"]
) -> list[Example]:
    """One example for each distinct rollout with any label; steps without a label are not targets."""
    examples = []
    for rollout in dict.fromkeys(rollouts):
        known = [(step, label) for step, label in enumerate(rollout.labels) if label is not None]
        if not known:
            continue
        (prompt,) = layout.write(rollout.question, rollout.steps, 0)
        (question,) = layout.write(rollout.question, (), 0)
        examples.append(
            Example(
                ids=prompt.ids,
                question_tokens=len(question.ids),
                places=tuple(prompt.places[step] for step, _ in known),
                targets=tuple(float(label > 0) if labels == "hard" else label for _, label in known),
            )
        )
    return examples


def split_problems(
    rollouts: Sequence[LabelledRollout], held_out: float, seed: int
) -> tuple[list[LabelledRollout], list[LabelledRollout]]:
    """Split rollouts by problem into training and held-out ones; `held_out` is the share of held-out problems.

    Raises UserError where there are fewer than two problems.
    """
    keys = sorted({rollout.problem_key for rollout in rollouts})
    if len(keys) < 2:
        raise UserError(
            "training needs two problems at least of which anything ended right, to judge by one what is learned from "
            "the other: take more or easier problems, or more rollouts"
        )
    count = min(len(keys) - 1, math.ceil(held_out * len(keys)))
    judging = set(random.Random(f"held out {seed}").sample(keys, count))
    return (
        [rollout for rollout in rollouts if rollout.problem_key not in judging],
        [rollout for rollout in rollouts if rollout.problem_key in judging],
    )
