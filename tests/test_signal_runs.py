"""Runs whose selectors read what sampling tells of the rollouts, from a recipe to its report."""

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from plans import plan
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import signal_of
from overthink.tasks.plan.regrading import regrading
from overthink.tasks.stages import rollout_signals, sample
from overthink.tasks.stages.graded import SignalSource
from overthink.tasks.stages.select import SelectNode

pytestmark = pytest.mark.usefixtures("prefect_server")

BASE: dict[str, Any] = {
    "name": "signals",
    "problems": {"source": "chains", "count": 6},
    "policy": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 8}],
    "budgets": [1, 4, 8],
    "selectors": "all",
}
# The shortest of all with an answer, of those as short the first.
SHORTEST = """SELECT problem_id, arg_min(answer, completion_tokens * 1000 + sample_index) AS answer
    FROM rollouts WHERE answer IS NOT NULL GROUP BY ALL ORDER BY ALL"""
CHOSEN = (
    "SELECT problem_id, answer FROM selections WHERE selector = 'shortest' AND n = 8 AND answer IS NOT NULL ORDER BY 1"
)


@pytest.fixture(scope="module")
def finished(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = tmp_path_factory.mktemp("signals") / "store"
    asyncio.run(evaluate(recipe_of(BASE), store))
    return Store(store)


def told(store: Store) -> str:
    result = CliRunner().invoke(app, ["report", "signals", "--store", str(store.root)])
    assert (result.exit_code, result.exception) == (0, None), result.output
    return " ".join(result.output.split())


def test_all_selectors_that_apply_choose(finished: Store) -> None:
    found = {row["selector"] for row in query(finished, "SELECT DISTINCT selector FROM summary").to_pylist()}
    assert {"majority", "oracle", "shortest", "shortest_vote", "logprob_mean_max", "logprob_mean_vote"} <= found
    assert not [name for name in found if signal_of(name) in ("prm", "self_certainty")]


def test_the_shortest_is_the_one_of_the_fewest_tokens(finished: Store) -> None:
    expected = query(finished, SHORTEST).to_pylist()
    assert query(finished, CHOSEN).to_pylist() == expected
    assert len(expected) == 6


def test_each_budget_has_an_estimate(finished: Store) -> None:
    sql = "SELECT selector, list(n ORDER BY n) AS budgets FROM summary GROUP BY ALL"
    assert {tuple(row["budgets"]) for row in query(finished, sql).to_pylist()} == {(1, 4, 8)}


def test_the_rollouts_are_read_only_for_who_wants_them() -> None:
    by_default, listed = (plan(selectors=selectors) for selectors in (None, ["majority", "shortest"]))
    tables = [[table for node in one.nodes if isinstance(node, SelectNode) for _, table in node.reads]
              for one in (by_default, listed)]  # fmt: skip
    assert tables == [["answers", "scores"], ["answers", "scores", "rollouts"]]


def test_a_choice_is_made_again_when_the_rollouts_were(
    finished: Store, tmp_path: Path, count_calls: Counter[str]
) -> None:
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    store = Store(tmp_path)
    chosen = query(store, CHOSEN).to_pylist()
    (stage,) = (one for one in store.stages() if one.key.startswith("sample-"))
    (path,) = stage.files("rollouts")
    drawn = stage.table("rollouts").to_pylist()
    turned = [row | {"completion_tokens": 10_000 - row["completion_tokens"]} for row in drawn]
    (entry,) = stage.entries()
    others = {name: stage.table(name) for name in ("steps", "calls")}
    path.unlink()
    stage.verify()
    stage.write_part(entry.extent, {"rollouts": rows_table("rollouts", turned), **others}, ())
    made = count_calls.total()
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    assert count_calls.total() == made
    assert query(store, CHOSEN).to_pylist() == query(store, SHORTEST).to_pylist() != chosen


CHOICES = "SELECT selector, n, problem_id, answer FROM selections ORDER BY ALL"


def test_regrading_and_rebuilding_choose_by_the_stored_signals(finished: Store, tmp_path: Path) -> None:
    chosen = query(finished, CHOICES).to_pylist()
    with regrading(finished, finished.find_run("signals")) as again:
        rows = again.selections("best_of_n-n8").to_pylist()
    assert sorted(({name: row[name] for name in chosen[0]} for row in rows), key=str) == sorted(chosen, key=str)
    store = Store(shutil.copytree(finished.root, tmp_path / "store"))
    (stage,) = (one for one in store.stages() if one.key.startswith("select-"))
    shutil.rmtree(stage.folder)
    assert "shortest_vote" in told(store)
    assert query(store, CHOICES).to_pylist() == chosen


def test_a_selector_whose_signal_no_rollout_has_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_of = sample.RolloutNode._rows

    def without_tokens(*arguments: Any) -> Any:
        row, steps = rows_of(*arguments)
        return row | dict.fromkeys(("completion_tokens", "logprob_mean")), steps

    monkeypatch.setattr(sample.RolloutNode, "_rows", without_tokens)
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    line = (
        "best_of_n-n8: no choice by shortest, shortest_vote: not all its rollouts hold counts of tokens: the endpoint, "
        "or the file that they were imported from, gave none"
    )
    assert line in told(Store(tmp_path))
    assert not query(Store(tmp_path), "SELECT * FROM selections WHERE starts_with(selector, 'shortest')").num_rows


def test_rollouts_of_an_earlier_version_leave_no_figure_of_those_drawn_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = BASE | {"name": "before", "methods": [{"method": "best_of_n", "n": 4}], "budgets": [4], "selectors": None}
    with monkeypatch.context() as earlier:
        earlier.setattr(rollout_signals.RolloutSignals, "of_rollout", lambda *_: {})
        asyncio.run(evaluate(recipe_of(before), tmp_path))
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    kept = "SELECT count(*) AS all, count(confidence_mean) AS kept FROM rollouts WHERE method_id = 'best_of_n-n8'"
    assert query(Store(tmp_path), kept).to_pylist() == [{"all": 48, "kept": 24}]
    chosen = {row["selector"] for row in query(Store(tmp_path), "SELECT selector FROM summary WHERE n = 8").to_pylist()}
    assert not {name for name in chosen if name.startswith("deepconf")}
    assert {"shortest", "logprob_mean_max"} <= chosen, "these follow from what was always stored"
    assert "not all its rollouts hold confidence: it is kept while sampling" in told(Store(tmp_path))


def test_the_mean_log_probability_of_earlier_rollouts_follows_from_their_sum(tmp_path: Path) -> None:
    rows = [
        {"rollout_id": "sum", "logprob_sum": -6.0, "completion_tokens": 4},
        {"rollout_id": "mean", "logprob_sum": -6.0, "completion_tokens": 4, "logprob_mean": -1.25},
        {"rollout_id": "empty", "logprob_sum": 0.0, "completion_tokens": 0},
        {"rollout_id": "unknown"},
    ]
    stage = Store(tmp_path).stage("sample-1")
    stage.write_part(Extent(("a",), 0, 4), {"rollouts": rows_table("rollouts", rows)})
    assert SignalSource(stage, ["logprob_mean"]).of(["a"]) == {
        "sum": {"logprob_mean": -1.5},
        "mean": {"logprob_mean": -1.25},
        "empty": {"logprob_mean": None},
        "unknown": {"logprob_mean": None},
    }
