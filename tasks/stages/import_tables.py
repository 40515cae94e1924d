"""Labelled solutions as rows of the store: rollouts that nobody here wrote, their steps, and which steps are right."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.manifest import Cover
from overthink.storage.part_tables import rows_table
from overthink.tasks.datasets.labelled import LabelledSolution

STEP_DELIMITER = "\n\n"


def imported_tables(
    stage_key: str, labeller: str, solutions: Mapping[str, LabelledSolution], cover: Cover
) -> dict[str, pa.Table]:
    """The rollouts, steps and step labels of a shard; `solutions` by problem key, one rollout each.

    Tokens and log-probabilities are unknown, and so is whether a step after the first wrong one is right.
    """
    rollouts: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for unit in cover.units:
        solution = solutions[unit]
        rollout_id = content_key([stage_key, unit, 0])
        rollouts.append(
            {
                "problem_key": unit,
                "problem_id": solution.solution_id,
                "sample_index": 0,
                "rollout_id": rollout_id,
                "text": STEP_DELIMITER.join(solution.steps),
                "step_count": len(solution.steps),
            }
        )
        place = {"rollout_id": rollout_id}
        steps += [place | {"step_index": index, "text": text} for index, text in enumerate(solution.steps)]
        labels += [
            place | {"labeller": labeller, "step_index": index, "label": label}
            for index, label in enumerate(_labels(solution))
        ]
    return {
        "rollouts": rows_table("rollouts", rollouts),
        "steps": rows_table("steps", steps),
        "step_labels": rows_table("step_labels", labels),
    }


def _labels(solution: LabelledSolution) -> Sequence[float]:
    if solution.first_wrong is None:
        return [1.0] * len(solution.steps)
    return [1.0] * solution.first_wrong + [0.0]
