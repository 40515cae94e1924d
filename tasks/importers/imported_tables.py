"""Imported rollouts as rows of the store."""

from typing import Any

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.part_tables import rows_table
from overthink.tasks.importers.imported import ImportedProblem, ImportedSet


def imported_tables(stage_key: str, imported: ImportedSet, prm_id: str | None) -> dict[str, pa.Table]:
    """The rollouts, steps, scores and reports of all problems; unknown values are null."""
    rows: dict[str, list[dict[str, Any]]] = {"rollouts": [], "steps": [], "scores": [], "reported": []}
    for each in imported.problems:
        _add_rollouts(rows, stage_key, each, prm_id if imported.is_scored else None)
        rows["reported"] += [_names(each) | vars(said) for said in each.reported]
    rows["reported"] += [vars(said) for said in imported.reported]
    return {name: rows_table(name, found) for name, found in rows.items()}


def _names(each: ImportedProblem) -> dict[str, str]:
    return {"problem_key": each.problem.problem_key, "problem_id": each.problem.problem_id}


def _add_rollouts(
    rows: dict[str, list[dict[str, Any]]], stage_key: str, each: ImportedProblem, prm_id: str | None
) -> None:
    for index, rollout in enumerate(each.rollouts):
        rollout_id = content_key([stage_key, each.problem.problem_key, index])
        place = {"rollout_id": rollout_id}
        rows["rollouts"].append(
            _names(each)
            | place
            | {
                "sample_index": index,
                "text": rollout.text,
                "step_count": len(rollout.steps),
                "completion_tokens": rollout.completion_tokens,
                "reasoning_text": rollout.reasoning,
                "reasoning_tokens": rollout.reasoning_tokens,
                "stop_reason": rollout.stop_reason,
            }
        )
        for number, step in enumerate(rollout.steps):
            row = place | {"step_index": number}
            rows["steps"].append(row | {"text": step.text, "completion_tokens": step.completion_tokens})
            if prm_id is not None:
                rows["scores"].append(row | {"prm": prm_id, "score": step.score})
