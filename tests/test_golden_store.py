"""A store that version 0.1 wrote opens, is whole, answers SQL, and an interrupted run in it goes on."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from golden import V01, golden_store
from storage_samples import stored_keys
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage import public_tables
from overthink.storage.completeness import incomplete_stages
from overthink.storage.integrity import store_findings
from overthink.storage.schemas import SCHEMAS
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import is_finished
from overthink.tasks.recipes.loading import read_recipe

pytestmark = pytest.mark.usefixtures("prefect_server")

ENGINES = ("sample", "search", "score", "label", "import")
ROWS = {"runs": 6, "problems": 23, "rollouts": 94, "scores": 177, "nodes": 36}


LATER = pa.field("later", pa.float64())  # a column that some later version adds to every table
FIGURES = """SELECT r.name, method_id, selector, n, problems, accuracy, policy_tokens, prm_tokens
             FROM summary JOIN runs r USING (run_id) ORDER BY ALL"""


@pytest.fixture(params=["as it is", "a column was added"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)  # its recipes name their files from where they lie
    if request.param == "a column was added":
        for table, schema in SCHEMAS.items():
            monkeypatch.setitem(SCHEMAS, table, schema.append(LATER))
    public_tables._no_rows.cache_clear()
    yield Store(golden_store(tmp_path))
    public_tables._no_rows.cache_clear()


def count(store: Store, table: str) -> int:
    (row,) = query(store, f"SELECT count(*) AS n FROM {table}").to_pylist()
    return int(row["n"])


def test_every_byte_of_it_is_in_order(store: Store) -> None:
    assert [finding.level for finding in store_findings(store)] == ["ok"]
    assert [incomplete_stages(store, run) for run in store.runs() if run.status == "complete"] == [[]] * 5


def test_it_answers_sql(store: Store) -> None:
    assert {table: count(store, table) for table in ROWS} == ROWS


def test_its_figures_are_those_that_were_written_down_with_it(store: Store) -> None:
    assert query(store, FIGURES).to_pylist() == json.loads((V01 / "figures.json").read_text(encoding="utf-8"))


def test_a_column_that_was_added_is_null_in_its_rows(store: Store) -> None:
    if "later" in SCHEMAS["rollouts"].names:
        counts = "SELECT count(*) AS rows, count(r.later) AS known FROM rollouts r"
        assert query(store, counts).to_pylist() == [{"rows": ROWS["rollouts"], "known": 0}]
        (stage, *_) = (stage for stage in store.stages() if stage.files("rollouts"))
        assert stage.table("rollouts")["later"].null_count == stage.table("rollouts").num_rows > 0


def test_its_finished_runs_ask_no_engine_again(store: Store, count_calls: Counter[str]) -> None:
    asyncio.run(evaluate(read_recipe(Path("recipe.yaml"), []), store.root))
    assert count_calls.total() == 0


def test_its_finished_runs_are_reported(store: Store) -> None:
    for run in store.runs():
        if run.status == "complete":
            told = CliRunner().invoke(app, ["report", run.run_id, "--store", str(store.root)])
            assert (told.exit_code, told.exception) == (0, None), told.output


def test_what_engines_made_has_the_address_it_had(store: Store) -> None:
    recipe = read_recipe(Path("recipe.yaml"), [])
    plan = plan_evaluation(recipe, load_problems(recipe.problems))
    run = store.find_run("golden")
    assert {use.key for use in plan.uses() if use.kind in ENGINES} == {
        use.key for use in run.stages if use.kind in ENGINES
    }


def test_a_run_that_was_killed_goes_on_from_its_journals(store: Store, count_calls: Counter[str]) -> None:
    recipe = read_recipe(Path("interrupted.yaml"), [])
    plan = plan_evaluation(recipe, load_problems(recipe.problems))
    assert not is_finished(plan, store)
    journaled = sum(len(stored_keys(path)) for path in store.root.rglob("*.sqlite"))
    asyncio.run(evaluate(recipe, store.root))
    assert is_finished(plan, store)
    # It was killed in its search; the scores of its samples, which were complete, come after.
    unmade = [store.stage(use.key) for use in plan.uses() if use.kind in ("search", "score")]
    assert journaled == 48 and count_calls.total() == sum(stage.table("calls").num_rows for stage in unmade) - journaled
