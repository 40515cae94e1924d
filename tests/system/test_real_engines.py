"""The main job on the embedded models in real vLLM, end to end: the demo, small, three nights of it, and its PRM."""

import asyncio
from pathlib import Path

import pytest
from search_runs import one, rows

from overthink.flows.evaluate import evaluate
from overthink.flows.prm_eval import prm_eval
from overthink.storage.store import Store
from overthink.tasks.errors import Regression
from overthink.tasks.recipes.loading import find_recipe, read_recipe, read_recipe_of
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.reporting.gate import judge

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server", "forked_engines")]

SMALL = ["problems.count=24", "methods.1.n=8", "budgets=[1, 8]", "shard_size=10"]
NIGHTLY = ["problems.count=120", "methods.1.n=8", "budgets=[1, 8]", "gate={selector: prm_min_vote}"]
NIGHTS = ((1, "zoo/abacus-5m"), (2, "zoo/abacus-5m"), (3, "zoo/abacus-1m"))


@pytest.fixture(scope="module")
def demo(prefect_server: str, forked_engines: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a small demo."""
    store = tmp_path_factory.mktemp("demo")
    asyncio.run(evaluate(read_recipe(find_recipe("demo"), SMALL), store))
    return store


def test_the_demo_small(demo: Path) -> None:
    assert one(demo, "SELECT count(*) FROM rollouts") == 24 * 9
    assert one(demo, "SELECT count(*) FROM scores") == one(demo, "SELECT sum(step_count) FROM rollouts")
    assert one(demo, "SELECT count(*) FROM scores WHERE score IS NULL OR score NOT BETWEEN 0 AND 1") == 0
    # A chain of k operations is solved in k steps and a box.
    right = (
        "SELECT count(*) FROM rollouts JOIN grades USING (rollout_id) JOIN problems USING (problem_id) WHERE correct"
    )
    assert one(demo, right) > 24
    assert one(demo, f"{right} AND step_count != level::INT + 1") <= 2
    pass_1, oracle = (
        one(demo, f"SELECT accuracy FROM summary WHERE selector = 'oracle' AND method_id LIKE 'best%' AND n = {n}")
        for n in (1, 8)
    )
    assert 0 < pass_1 < oracle
    assert one(demo, "SELECT count(*) FROM calls WHERE cached_tokens IS NULL OR input_tokens = 0") == 0
    assert one(demo, "SELECT sum(cached_tokens) FROM calls WHERE kind = 'generate'") > 0
    assert one(demo, "SELECT min(flops) FROM summary") > 0


def test_right_rollouts_score_higher_than_wrong_ones(demo: Path) -> None:
    gap = one(
        demo,
        "SELECT avg(last) FILTER (correct) - avg(last) FILTER (NOT correct) FROM (SELECT rollout_id, "
        "arg_max(score, step_index) AS last FROM scores GROUP BY 1) JOIN grades USING (rollout_id)",
    )
    assert gap > 0.3


def night(seed: int, policy: str) -> Recipe:
    """The recipe of one night: another seed each time, and the newest policy."""
    return read_recipe(find_recipe("demo"), [*NIGHTLY, f"seed={seed}", f"policy.model={policy}"])


async def test_three_nights_of_the_demo_raise_the_alarm_on_the_third_and_only_there(tmp_path: Path) -> None:
    for seed, policy in NIGHTS[:2]:
        await evaluate(night(seed, policy), tmp_path)
    with pytest.raises(Regression, match="is less accurate than"):
        await evaluate(night(*NIGHTS[2]), tmp_path)
    store = Store(tmp_path)
    runs = store.runs()
    gate = night(*NIGHTS[2]).gate
    assert gate is not None
    assert [run.status for run in runs] == ["complete"] * 3
    assert [bool(judge(store, run, gate).fallen) for run in runs] == [False, False, True]
    for row in rows(tmp_path, "SELECT * FROM summary WHERE selector IN ('greedy', 'prm_min_vote') ORDER BY ALL"):
        print({name: row[name] for name in ("run_id", "method_id", "selector", "n", "accuracy", "ci_low", "ci_high")})
    print("\n".join(judge(store, run, gate).message for run in runs))


async def test_abacus_prm_finds_the_first_wrong_step_of_chains(tmp_path: Path) -> None:
    await prm_eval(read_recipe_of(PrmEvalRecipe, find_recipe("prm-eval")), tmp_path)
    assert one(tmp_path, "SELECT count(*) FROM rollouts") == 400
    assert one(tmp_path, "SELECT value FROM prm_metrics WHERE measure = 'f1'") >= 0.80
