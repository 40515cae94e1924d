"""The answer of a stored rollout, and what it depends on."""

from typing import Any

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.tasks.determinants import determinants
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.records import Problem
from overthink.tasks.stages.identity import JsonObject
from overthink.tasks.stages.node import Problems

Row = dict[str, Any]


def rollouts_by_problem(rollouts: pa.Table) -> dict[str, list[Row]]:
    """The rows of `rollouts`, by problem key."""
    by_problem: dict[str, list[Row]] = {}
    for row in rollouts.to_pylist():
        by_problem.setdefault(row["problem_key"], []).append(row)
    return by_problem


def reading(problems: Problems, grader: Grader) -> JsonObject:
    """What answers and their verdicts depend on besides the rollouts, for keys."""
    return {
        "grading": determinants(grader.grading),
        "grader": grader.identity(),
        "references": content_key(problems.content),
    }


def answer_in(problem: Problem, row: Row, grader: Grader) -> str | None:
    """The answer of a row of `rollouts`; None where it gives none, or its confidence ended it.

    A policy that thinks may also answer at once, and then has 0 tokens of reasoning.
    """
    if row["stop_reason"] == "confidence":
        return None
    is_divided = row.get("reasoning_text") is not None or row.get("reasoning_tokens") is not None
    return grader.extract(problem, row["text"], is_divided)
