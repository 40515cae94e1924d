"""Three nights of a small demo recipe through real vLLM: the alarm is raised on the third, whose policy is worse."""

from pathlib import Path

import pytest
from search_runs import rows

from overthink.flows.evaluate import evaluate
from overthink.storage.store import Store
from overthink.tasks.errors import Regression
from overthink.tasks.recipes.loading import find_recipe, read_recipe
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.reporting.gate import judge

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server")]
NIGHTS = ((1, "zoo/abacus-5m"), (2, "zoo/abacus-5m"), (3, "zoo/abacus-1m"))


def night(seed: int, policy: str) -> Recipe:
    """The recipe of one night: another seed each time, and the newest policy."""
    changes = ["problems.count=60", "methods.1.n=8", "budgets=[1, 8]", "gate={selector: prm_min_vote}"]
    return read_recipe(find_recipe("demo"), [*changes, f"seed={seed}", f"policy.model={policy}"])


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
