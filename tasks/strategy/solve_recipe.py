"""The recipe of `overthink solve`, made from a strategy and its problems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from overthink.tasks.datasets.row_layouts import Columns
from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.complaints import all_told
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import read_strategy

COLUMNS = [key for key in Columns.model_fields if key != "reference_after"]


def problem_source(question: str | None, path: Path | None, mapping: Sequence[str]) -> dict[str, Any]:
    """Where the problems come from: one question, or a file. Raises UserError for neither, both, or no mapping."""
    if (question is None) == (path is None):
        raise UserError("give one QUESTION, or a file of them with --problems; not both")
    if path is None:
        if mapping:
            raise UserError("--map names the columns of --problems; one QUESTION has none")
        return {"source": "questions", "questions": [question]}
    # Problems to be solved seldom have a column of references; without it nothing is graded.
    columns = {"reference": None, **named_columns(mapping, COLUMNS)}
    return {"source": "file", "path": str(path), "columns": columns}


def solve_recipe(strategy_path: Path, source: dict[str, Any], limit: dict[str, float | None], name: str) -> Recipe:
    """The recipe that applies a strategy to problems, with all other settings as in the fit.

    `limit` holds `n`, `total_tokens` and `total_flops`, two of them None. Raises UserError naming what is wrong.
    """
    strategy = read_strategy(strategy_path)
    value = {
        "name": name,
        "seed": strategy.seed,
        "problems": source,
        "domain": strategy.domain,
        "domain_options": strategy.domain_options,
        "prompt": strategy.prompt.model_dump(mode="json"),
        "policy": strategy.policy.model_dump(mode="json"),
        "prm": strategy.prm.model_dump(mode="json"),
        "methods": [{"method": "compute_optimal", "strategy": str(strategy_path), **limit}],
        "budgets": [limit["n"] or strategy.difficulty.pilot],
        "sampling": strategy.sampling.model_dump(),
        "reasoning": strategy.reasoning.model_dump(),
        "grading": strategy.grading.model_dump(),
        "difficulty": strategy.difficulty.model_dump(),
    }
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        raise UserError(f"cannot solve with {strategy_path}: {all_told(error, value, Recipe)}") from error
