"""Recipes that apply a strategy on fakes."""

from pathlib import Path
from typing import Any

from strategies import strategy

from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import FakePolicyConfig, FakePrmConfig
from overthink.tasks.engines.registry import identify
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import Strategy, write_strategy

Row = dict[str, Any]
POLICY: Row = {"engine": "fake", "steps": 5}
PROBLEMS = 12


def fitted(**changes: Any) -> Strategy:
    """The strategy of `strategies.py`, for the fakes of these recipes."""
    policy = identify(FakePolicyConfig(**POLICY)).address
    prm = identify(FakePrmConfig()).address
    return strategy(**{"policy": POLICY, "policy_id": policy, "prm_id": prm, **changes})


def written(folder: Path, **changes: Any) -> Path:
    """A strategy in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "strategy.yaml"
    write_strategy(fitted(**changes), path)
    return path


def applying(path: Path, *limits: Row) -> list[Row]:
    """A `compute_optimal` for each of the limits."""
    return [{"method": "compute_optimal", "strategy": str(path), **limit} for limit in limits]


def recipe_value(path: Path, *limits: Row, **changes: Any) -> Row:
    """A recipe that applies a strategy under each of the limits."""
    return {
        "name": "applied",
        "problems": {"source": "chains", "count": PROBLEMS},
        "policy": POLICY,
        "prm": {"engine": "fake"},
        "methods": applying(path, *limits),
        "budgets": [4],
        "sampling": {"max_tokens": 256},
        "shard_size": 5,
        **changes,
    }


def plan_of(value: Row) -> Plan:
    recipe = Recipe.model_validate(value)
    return plan_evaluation(recipe, load_problems(recipe.problems))
