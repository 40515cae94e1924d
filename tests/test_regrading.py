"""Two runs whose graders differ: today's judges both, from the stored rollouts, or it is said that it cannot.

The grader of yesterday calls every answer wrong.
"""

import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from applied import applying, plan_of, recipe_value, written
from bare_stages import carry_out, without_prefect

from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.domains.domain import Judged
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.domains.math.mathematics import Mathematics
from overthink.tasks.plan.regrading import regrading
from overthink.tasks.recipes.recipe import GateConfig
from overthink.tasks.reporting.compare_runs import compare_runs
from overthink.tasks.reporting.gate import judge
from overthink.tasks.reporting.html.contents import report_facts
from overthink.tasks.reporting.html.tables import against_table
from overthink.tasks.stages import identity as identities

Row = dict[str, Any]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)


def made(folder: Path, seed: int, *, yesterday: bool = False, methods: list[Row] | None = None) -> Run:
    """A run of four sums on fakes, graded by yesterday's grader if asked."""
    problems = folder / "problems.jsonl"
    lines = [{"question": f"What is {n}-{n}?", "answer": "0"} for n in range(12)]
    problems.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    value = recipe_value(
        written(folder / f"strategy-{seed}"),
        methods=methods or [{"method": "cot"}, {"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 4}],
        problems={"source": "file", "path": str(problems)},
        budgets=[1, 8] if methods is None else [4],
        seed=seed,
    )
    with pytest.MonkeyPatch.context() as patch:
        if yesterday:
            patch.setattr(Mathematics, "version", 1)
            patch.setitem(identities.VERSIONS, "selection", 1)
            patch.setattr(MathJudge, "judge", all_wrong)
        plan = plan_of(value)
        carry_out(plan, folder / "store")
    return Store(folder / "store").find_run(plan.run_id)


def all_wrong(_: MathJudge, __: str | None, answers: Sequence[str]) -> list[Judged]:
    return [Judged(answer, "different") for answer in answers]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def accuracies(store: Store, run: Run) -> dict[tuple[str, str, int], float]:
    rows = query(store, f"SELECT method_id, selector, n, accuracy FROM summary WHERE run_id = '{run.run_id}'")
    return {tuple(list(row.values())[:3]): row["accuracy"] for row in rows.to_pylist()}  # type: ignore[misc]


@pytest.mark.usefixtures("bare")
def test_both_runs_are_compared_by_todays_grader(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before, after = made(tmp_path, 1, yesterday=True), made(tmp_path, 2)
    stored = files(tmp_path / "store")
    compared = compare_runs(store, before, after)
    assert compared.regraded == (before.run_id,)
    again = accuracies(store, made(tmp_path, 1))  # the same recipe, graded anew: what the comparison must have found
    assert set(accuracies(store, before).values()) == {0.0}
    for one in compared.differences:
        choice = one.method_id, one.selector, one.n
        assert one.before == pytest.approx(again[choice]) and one.before > 0
        assert one.after == pytest.approx(accuracies(store, after)[choice])
    assert stored <= files(tmp_path / "store"), "nothing was removed"


@pytest.mark.usefixtures("bare")
def test_a_comparison_stores_nothing(tmp_path: Path) -> None:
    before, after = made(tmp_path, 1, yesterday=True), made(tmp_path, 2)
    stored = files(tmp_path / "store")
    compare_runs(Store(tmp_path / "store"), before, after)
    assert files(tmp_path / "store") == stored


@pytest.mark.usefixtures("bare")
def test_the_gate_is_not_deceived_by_a_new_grader(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    good, later = made(tmp_path, 1), made(tmp_path, 2, yesterday=True)
    verdict = judge(store, later, GateConfig(against=good.run_id))
    assert not verdict.fallen, "by the stored grades it fell from almost always to never right"
    assert verdict.regraded == (later.run_id,)
    assert "graded again by today's grader" in verdict.message


@pytest.mark.usefixtures("bare")
def test_runs_of_one_grader_are_compared_as_they_are_stored(tmp_path: Path) -> None:
    first, second = (made(tmp_path, seed, yesterday=True) for seed in (1, 2))
    compared = compare_runs(Store(tmp_path / "store"), first, second)
    assert compared.regraded == ()
    assert {(one.before, one.after) for one in compared.differences} == {(0.0, 0.0)}


@pytest.mark.usefixtures("bare")
def test_where_the_rollouts_are_gone_it_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before, after = made(tmp_path, 1, yesterday=True), made(tmp_path, 2)
    use = next(use for use in before.stages if (use.kind, use.method_id) == ("sample", "best_of_n-n8"))
    store.stage(use.key).files("rollouts")[0].unlink()
    with pytest.raises(
        StorageError, match=r"different graders, and the rollouts of .* is missing; run its recipe again"
    ):
        compare_runs(store, before, after)


@pytest.mark.usefixtures("bare")
def test_a_strategys_choice_is_graded_anew_and_stays_as_decided(tmp_path: Path) -> None:
    methods = applying(written(tmp_path), {"n": 16}, {"total_tokens": 5000})
    before, after = made(tmp_path, 1, yesterday=True, methods=methods), made(tmp_path, 2, methods=methods)
    compared = compare_runs(Store(tmp_path / "store"), before, after)
    assert compared.regraded == (before.run_id,)
    assert {one.selector for one in compared.differences} == {"strategy"}
    assert all(one.before > 0 for one in compared.differences)


@pytest.mark.usefixtures("bare")
def test_grading_anew_gives_what_is_stored_where_the_grader_is_the_same(tmp_path: Path) -> None:
    run = made(tmp_path, 1)
    store = Store(tmp_path / "store")
    for method_id in ("cot", "best_of_n-n8", "beam_search-n4-m4"):
        sql = f"SELECT * EXCLUDE (run_id, method_id) FROM selections WHERE method_id = '{method_id}' ORDER BY ALL"
        with regrading(store, run) as anew:
            found = anew.selections(method_id).to_pylist()
        assert sorted(found, key=str) == sorted(query(store, sql).to_pylist(), key=str)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("budgets", [(4, 16), (16, 4), (16,)])
def test_rollouts_that_several_methods_share_are_graded_anew_once(budgets: Sequence[int], tmp_path: Path) -> None:
    samples = [{"method": "best_of_n", "n": n} for n in budgets]
    run = made(tmp_path, 1, methods=[*applying(written(tmp_path), {"n": 16}), *samples])
    store = Store(tmp_path / "store")
    choices = [use for use in run.stages if use.kind == "select"]
    assert len(choices) == len(budgets) + 1
    with regrading(store, run) as anew:
        for use in choices:
            stored = store.stage(use.key).table("selections").to_pylist()
            assert anew.selections(str(use.method_id)).to_pylist() == stored


@pytest.mark.usefixtures("bare")
def test_a_report_of_two_graders_says_so(tmp_path: Path) -> None:
    before, after = made(tmp_path, 1, yesterday=True), made(tmp_path, 2)
    store = Store(tmp_path / "store")
    facts = report_facts(store, [before, after])
    other = replace(facts[1], run=replace(after, policy="another"))
    assert "graded by different versions of the grader" in against_table([facts[0], other])
    assert "graded by different versions" not in against_table([other, replace(facts[1], run=after)])


def test_a_store_of_0_1_is_graded_anew_to_the_same_choices(tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parent / "golden_store" / "v0.1" / "store.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    store = Store(tmp_path / "store")
    run = store.find_run("golden")
    for method_id in ("cot", "best_of_n-n4", "beam_search-n4-m4"):
        columns = "problem_id, selector, n, correct, accuracy, estimator"
        sql = f"SELECT {columns} FROM selections WHERE run_id = '{run.run_id}' AND method_id = '{method_id}'"
        with regrading(store, run) as anew:
            found = [
                {name: row[name] for name in columns.split(", ")} for row in anew.selections(method_id).to_pylist()
            ]
        assert sorted(found, key=str) == sorted(query(store, sql).to_pylist(), key=str)


@pytest.mark.usefixtures("bare")
def test_a_rollout_that_two_graders_judged_has_the_later_verdict_and_is_there_once(tmp_path: Path) -> None:
    made(tmp_path, 1, yesterday=True)
    run = made(tmp_path, 1)
    store = Store(tmp_path / "store")
    sql = f"""SELECT count(*) AS rows, count(DISTINCT rollout_id) AS rollouts, avg(correct::INT) AS pass_at_1
        FROM rollouts JOIN grades USING (rollout_id) WHERE run_id = '{run.run_id}' AND method_id = 'best_of_n-n8'"""
    (found,) = query(store, sql).to_pylist()
    assert found["rows"] == found["rollouts"] == 12 * 8
    assert found["pass_at_1"] == pytest.approx(accuracies(store, run)["best_of_n-n8", "majority", 1])
