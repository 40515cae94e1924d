"""The main job on the embedded models in real vLLM, end to end, small."""

from pathlib import Path
from typing import Any

import pytest

from overthink.flows.evaluate import evaluate
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.recipes.loading import read_recipe, shipped_recipes
from overthink.tasks.recipes.recipe import Recipe

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server")]

CHANGES = ["problems.count=24", "methods.1.n=8", "budgets=[1, 8]", "shard_size=10"]


def one(store: Path, sql: str) -> Any:
    (row,) = query(Store(store), sql).to_pylist()
    return next(iter(row.values()))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return read_recipe(shipped_recipes()["demo"], CHANGES)


async def test_the_demo_small(recipe: Recipe, tmp_path: Path) -> None:
    await evaluate(recipe, tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM rollouts") == 24 * 9
    assert one(tmp_path, "SELECT count(*) FROM scores") == one(tmp_path, "SELECT sum(step_count) FROM rollouts")
    assert one(tmp_path, "SELECT count(*) FROM scores WHERE score IS NULL OR score NOT BETWEEN 0 AND 1") == 0
    # A chain of k operations is solved in k steps and a box.
    right = (
        "SELECT count(*) FROM rollouts JOIN grades USING (rollout_id) JOIN problems USING (problem_id) WHERE correct"
    )
    assert one(tmp_path, right) > 24
    assert one(tmp_path, f"{right} AND step_count != level::INT + 1") <= 2
    pass_1, oracle = (
        one(tmp_path, f"SELECT accuracy FROM summary WHERE selector = 'oracle' AND method_id LIKE 'best%' AND n = {n}")
        for n in (1, 8)
    )
    assert 0 < pass_1 < oracle
    assert one(tmp_path, "SELECT count(*) FROM calls WHERE cached_tokens IS NULL OR input_tokens = 0") == 0
    assert one(tmp_path, "SELECT sum(cached_tokens) FROM calls WHERE kind = 'generate'") > 0
    assert one(tmp_path, "SELECT min(flops) FROM summary") > 0


async def test_right_rollouts_score_higher_than_wrong_ones(recipe: Recipe, tmp_path: Path) -> None:
    await evaluate(recipe, tmp_path)
    gap = one(
        tmp_path,
        "SELECT avg(last) FILTER (correct) - avg(last) FILTER (NOT correct) FROM (SELECT rollout_id, "
        "arg_max(score, step_index) AS last FROM scores GROUP BY 1) JOIN grades USING (rollout_id)",
    )
    assert gap > 0.3
