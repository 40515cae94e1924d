"""Programs end to end: the recipe `code`, small, on abacus-code in real vLLM and in the sandbox."""

import asyncio
from pathlib import Path

import pytest
from search_runs import one, rows

from overthink.flows.evaluate import evaluate
from overthink.tasks.recipes.loading import find_recipe, read_recipe

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server", "forked_engines")]

PROBLEMS, SAMPLES = 36, 8
SMALL = [f"problems.count={PROBLEMS}", f"methods.1.n={SAMPLES}", f"budgets=[1, {SAMPLES}]"]


@pytest.fixture(scope="module")
def store(prefect_server: str, forked_engines: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a small run of the recipe."""
    folder = tmp_path_factory.mktemp("code")
    asyncio.run(evaluate(read_recipe(find_recipe("code"), SMALL), folder))
    return folder


def accuracy(store: Path, selector: str, n: int) -> float:
    """In the table of the method that draws several."""
    where = f"selector = '{selector}' AND n = {n} AND method_id LIKE 'best%'"
    return float(one(store, f"SELECT accuracy FROM summary WHERE {where}"))


def test_every_program_has_a_verdict_and_greedy_ones_are_honestly_imperfect(store: Path) -> None:
    assert one(store, "SELECT count(*) FROM grades") == PROBLEMS * (1 + SAMPLES)
    assert one(store, "SELECT count(*) FROM grades WHERE correct IS NULL") == 0
    greedy = one(store, "SELECT avg(correct::INT) FROM grades JOIN rollouts USING (rollout_id) WHERE method_id = 'cot'")
    assert 0.30 <= greedy <= 0.60


def test_tests_choose_better_than_chance_and_no_better_than_the_oracle(store: Path) -> None:
    pass_1, chosen = accuracy(store, "oracle", 1), accuracy(store, "tests_max", SAMPLES)
    assert pass_1 + 0.1 < chosen <= accuracy(store, "oracle", SAMPLES)
    for name in ("majority", "tests_vote", "behaviour_vote"):
        assert pass_1 < accuracy(store, name, SAMPLES) <= accuracy(store, "oracle", SAMPLES)


def test_a_program_that_passes_the_hidden_tests_passes_the_public_ones(store: Path) -> None:
    public = {
        row["rollout_id"]: row["passed"] for row in rows(store, "SELECT * FROM test_results WHERE suite = 'public'")
    }
    right = rows(store, "SELECT rollout_id FROM grades WHERE correct")
    assert len(right) > PROBLEMS
    assert all(all(public[row["rollout_id"]]) for row in right)
