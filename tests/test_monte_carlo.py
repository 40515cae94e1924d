"""What ~ states: the standard error that a run says is the one that other random subsets show."""

import math
from pathlib import Path

import numpy as np
import pytest
from conftest import recipe_of
from search_runs import base

from overthink.flows.evaluate import evaluate
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.estimators import SUBSETS, estimates
from overthink.tasks.analysis.selectors import Candidates, candidates
from overthink.tasks.reporting.html.contents import budget_part
from overthink.tasks.reporting.html.facts import run_facts
from overthink.tasks.reporting.result_tables import result_tables
from overthink.tasks.reporting.results import monte_carlo_note, summary_rows
from overthink.tasks.stages.select import over_problems


def standard_error(accuracies: list[float]) -> float:
    """As `monte_carlo_note` has it."""
    return math.sqrt(sum(one * (1 - one) for one in accuracies) / SUBSETS) / len(accuracies)


def problem(generator: np.random.Generator) -> Candidates:
    """32 rollouts, as likely right as the problem is easy; wrong ones agree now and then."""
    right = generator.random(32) < generator.beta(0.7, 0.7)
    keys = ["r" if one else str(other) for one, other in zip(right, generator.integers(0, 4, 32), strict=True)]
    return candidates(keys, right.tolist(), None)


def test_accuracies_by_other_subsets_are_as_far_apart_as_is_said() -> None:
    generator = np.random.default_rng(0)
    problems = [problem(generator) for _ in range(60)]
    tries = np.array(
        [[estimates(["majority"], one, [8], seed)["majority", 8].accuracy for one in problems] for seed in range(60)]
    )
    assert standard_error(tries[0].tolist()) == pytest.approx(tries.mean(axis=1).std(ddof=1), rel=0.25)


@pytest.mark.usefixtures("prefect_server")
async def test_a_report_says_the_largest_error_of_its_estimates(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    recipe = recipe_of(base(tmp_path), methods=[{"method": "best_of_n", "n": 16}], budgets=[1, 8, 16])
    run_id = await evaluate(recipe, store.root)
    sql = f"SELECT selector, accuracy FROM selections WHERE run_id = '{run_id}' AND n = 8 AND estimator != 'exact'"
    by_selector: dict[str, list[float]] = {}
    for row in query(store, sql).to_pylist():
        by_selector.setdefault(row["selector"], []).append(row["accuracy"])
    said = f"standard error {100 * max(map(standard_error, by_selector.values())):.2f} points at most"
    assert said in monte_carlo_note(store, run_id)
    assert said in budget_part(run_facts(store, store.find_run(run_id)))
    assert said in str(result_tables(summary_rows(store, run_id), "", monte_carlo_note(store, run_id), None)[0].caption)


@pytest.mark.usefixtures("prefect_server")
async def test_where_all_is_exact_nothing_is_said_of_estimates(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    recipe = recipe_of(base(tmp_path), methods=[{"method": "best_of_n", "n": 4}], budgets=[1, 4])
    run_id = await evaluate(recipe, store.root)
    assert monte_carlo_note(store, run_id) == ""


def test_one_estimated_problem_makes_the_accuracy_an_estimate() -> None:
    row = {"selector": "majority", "n": 4, "accuracy": 1.0, "accuracy_low": 1.0, "accuracy_high": 1.0, "unknown": 0.0}
    for kinds, told in ((("exact", "monte_carlo"), "monte_carlo"), (("exact", "exact"), "exact")):
        assert [one["estimator"] for one in over_problems([row | {"estimator": kind} for kind in kinds])] == [told]
