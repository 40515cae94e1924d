"""The morning after: what changed between two runs, and the gate that raises the alarm on the night that is worse."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import gate_events
from overthink.storage.sql import query
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.errors import Regression, UserError
from overthink.tasks.recipes.recipe import GateConfig, Recipe
from overthink.tasks.reporting.compare_runs import compare_runs
from overthink.tasks.reporting.gate import earlier_run, judge
from overthink.tasks.stages import run_manifest

pytestmark = pytest.mark.usefixtures("prefect_server")
PROBLEMS = 40
GOOD, WORSE = 2, 40  # a fake policy that knows 2 answers is mostly right that it is 0; one that knows 40 is not


def lines(count: int, first: int = 0, answer: str = "0") -> str:
    rows = [{"question": f"What is question {number}?", "answer": answer} for number in range(first, first + count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def recipe_of(folder: Path, answers: int = GOOD, **changes: Any) -> Recipe:
    problems = folder / "problems.jsonl"
    if not problems.exists():
        problems.write_text(lines(PROBLEMS), encoding="utf-8")
    value = {
        "name": "nightly",
        "problems": {"source": "file", "path": str(problems)},
        "policy": {"engine": "fake", "answers": answers},
        "prm": {"engine": "fake"},
        "methods": [{"method": "cot"}, {"method": "best_of_n", "n": 8}],
        "budgets": [1, 8],
        "selectors": ["majority", "prm_min_vote", "oracle"],
        "sampling": {"max_tokens": 256},
        "gate": {"selector": "majority"},
    }
    return Recipe.model_validate(value | changes)


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets the clock that runs are dated by."""

    def fall(number: int) -> None:
        monkeypatch.setattr(run_manifest, "_now", lambda: f"2026-11-{number:02d}T02:00:00+00:00")

    yield fall


@pytest.fixture
def events() -> Iterator[Callable[[], list[Any]]]:
    """What Prefect was told of the gate."""
    EventsWorker.set_client_override(AssertingEventsClient)

    def every() -> list[Any]:
        EventsWorker.instance().wait_until_empty()
        told = [event for client in AssertingEventsClient.all for event in getattr(client, "events", [])]
        return [event for event in told if event.event.startswith("overthink.gate")]

    earlier = len(every())
    yield lambda: every()[earlier:]
    EventsWorker.set_client_override(None)


async def test_three_nights_raise_the_alarm_on_the_third_and_only_there(
    tmp_path: Path, night: Any, events: Callable[[], list[Any]]
) -> None:
    store = tmp_path / "store"
    for number, answers in ((1, GOOD), (2, GOOD)):
        night(number)
        await evaluate(recipe_of(tmp_path, answers, seed=number), store)
    night(3)
    with pytest.raises(Regression, match=r"nightly-\w+ is less accurate than nightly-\w+, .*best_of_n-n8 majority"):
        await evaluate(recipe_of(tmp_path, WORSE, seed=3), store)
    runs = Store(store).runs()
    assert [run.status for run in runs] == ["complete"] * 3
    told = events()
    assert [event.event for event in told] == [gate_events.PASSED, gate_events.PASSED, gate_events.FAILED]
    assert [event.payload["against"] for event in told] == [None, runs[0].run_id, runs[1].run_id]
    assert told[2].resource["prefect.resource.id"] == f"overthink.run.{runs[2].run_id}"


@pytest.fixture(scope="module")
def nights(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three nights, the third worse, and one of another name on half of the problems."""
    folder = tmp_path_factory.mktemp("nights")
    with pytest.MonkeyPatch.context() as patch:
        for number, answers in ((1, GOOD), (2, GOOD), (3, WORSE)):
            patch.setattr(run_manifest, "_now", lambda number=number: f"2026-11-{number:02d}T02:00:00+00:00")
            asyncio.run(evaluate(recipe_of(folder, answers, seed=number, gate=None), folder / "store"))
        other = folder / "other"
        other.mkdir()
        (other / "problems.jsonl").write_text(lines(PROBLEMS // 2) + lines(3, PROBLEMS), encoding="utf-8")
        asyncio.run(evaluate(recipe_of(other, name="other", gate=None), folder / "store"))
    return folder / "store"


def runs_of(store: Path, name: str = "nightly") -> list[Run]:
    return [run for run in Store(store).runs() if run.name == name]


def told(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def test_differences_are_those_of_the_summary_where_the_problems_are_the_same(nights: Path) -> None:
    first, _, third = runs_of(nights)
    compared = compare_runs(Store(nights), first, third)
    assert (compared.problems_in_both, compared.only_before, compared.only_after) == (PROBLEMS, 0, 0)
    sql = "SELECT run_id, method_id, selector, n, accuracy FROM summary"
    accuracy = {tuple(list(row.values())[:4]): row["accuracy"] for row in query(Store(nights), sql).to_pylist()}
    assert len(compared.differences) == 3 * (1 + 2)
    for one in compared.differences:
        place = (one.method_id, one.selector, one.n)
        assert one.before == pytest.approx(accuracy[first.run_id, *place])
        assert one.after == pytest.approx(accuracy[third.run_id, *place])
        assert one.difference == pytest.approx(one.after - one.before)
        assert one.ci_low is not None and one.ci_high is not None
        assert one.ci_low <= one.difference <= one.ci_high


def test_flips_are_the_problems_whose_choice_changed_sides(nights: Path) -> None:
    first, _, third = runs_of(nights)
    compared = compare_runs(Store(nights), first, third)
    sql = """SELECT a.problem_id, b.correct AS now_right, a.answer, b.answer AS other
        FROM selections a JOIN selections b USING (method_id, selector, n, problem_id)
        WHERE a.run_id = '{}' AND b.run_id = '{}' AND method_id = 'cot' AND selector = 'oracle'
        AND a.correct != b.correct ORDER BY ALL"""
    expected = query(Store(nights), sql.format(first.run_id, third.run_id)).to_pylist()
    flips = [flip for flip in compared.flips if (flip.method_id, flip.selector) == ("cot", "oracle")]
    found = [[flip.problem_id, flip.now_right, flip.answer_before, flip.answer_after] for flip in flips]
    assert sorted(found) == [list(row.values()) for row in expected] != []
    assert all((flip.answer_after == "0") == flip.now_right and flip.reference == "0" for flip in flips)
    (cot,) = (one for one in compared.differences if (one.method_id, one.selector) == ("cot", "oracle"))
    assert (cot.lost, cot.won) == (sum(not row["now_right"] for row in expected), sum(r["now_right"] for r in expected))


def test_costs_stand_side_by_side_and_what_is_unknown_stays_so(nights: Path) -> None:
    first, second, _ = runs_of(nights)
    costs = {(cost.method_id, cost.measure): cost for cost in compare_runs(Store(nights), first, second).costs}
    sql = "SELECT run_id, sum(policy_completion_tokens) AS t FROM costs WHERE method_id = 'cot' GROUP BY 1"
    tokens = {row["run_id"]: row["t"] for row in query(Store(nights), sql).to_pylist()}
    cot = costs["cot", "policy_completion_tokens"]
    assert (cot.before, cot.after) == (tokens[first.run_id], tokens[second.run_id])
    assert cot.difference == cot.after - cot.before  # type: ignore[operator]
    assert costs["all", "policy_flops"].difference is None, "a fake has no size"


def test_only_problems_with_the_same_question_and_reference_are_paired(nights: Path) -> None:
    (first, *_), (other,) = runs_of(nights), runs_of(nights, "other")
    compared = compare_runs(Store(nights), first, other)
    # 20 questions are the same; 3 of the other run bear the ids 20 to 22, under which the first asks something else.
    assert (compared.problems_in_both, compared.only_before, compared.only_after) == (20, 20, 3)
    assert {one.problems for one in compared.differences} == {20}


def test_the_command_compares_two_runs(nights: Path) -> None:
    first, _, third = (run.run_id for run in runs_of(nights))
    code, output = told("compare", first, third, "--store", nights)
    assert code == 0
    assert "greedy" in output and "best_of_n-n8" in output and "40 problems in both" in output
    assert "problems that flipped" in output and "cost in all" in output
    code, output = told("compare", first, third, "--store", nights, "--format", "json")
    value = json.loads(output)
    assert (code, value["before"], value["after"], len(value["differences"])) == (0, first, third, 9)
    assert {flip["now_right"] for flip in value["flips"]} == {True, False}


def test_runs_that_share_nothing_or_are_unfinished_are_told(nights: Path) -> None:
    store, (first, second, _) = Store(nights), runs_of(nights)
    with pytest.raises(StorageError, match="is not complete: run its recipe again"):
        compare_runs(store, first, replace(second, status="running"))
    code, output = told("compare", first.run_id, "--store", nights)
    assert code == 2 and "name a second run" in output
    code, output = told("compare", first.run_id, second.run_id, "--selector", "best", "--store", nights)
    assert code == 2 and "there is no selector 'best'" in output


async def test_runs_on_other_problems_cannot_be_compared(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name, answer in (("a", "0"), ("b", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "problems.jsonl").write_text(lines(3, answer=answer), encoding="utf-8")
        await evaluate(recipe_of(tmp_path / name, name=name, gate=None), store)
    a, b = Store(store).runs()
    with pytest.raises(StorageError, match="have no problem .id, question and reference. in common"):
        compare_runs(Store(store), a, b)
    with pytest.raises(UserError, match="share no choice by majority"):
        judge(Store(store), b, GateConfig(against=a.run_id))


def test_the_gate_looks_at_each_method_at_its_largest_n_with_wider_intervals(nights: Path) -> None:
    _, second, third = runs_of(nights)
    verdict = judge(Store(nights), third, GateConfig(selector="prm_min_vote"))
    assert verdict.against == second.run_id
    assert verdict.confidence == 0.975, "two methods are looked at"
    looked = [(one.method_id, one.selector, one.n) for one in verdict.differences]
    assert looked == [("cot", "prm_min_vote", 1), ("best_of_n-n8", "prm_min_vote", 8)]
    plain = {one.method_id: one for one in compare_runs(Store(nights), second, third).differences}
    assert all(one.ci_low <= plain[one.method_id].ci_low for one in verdict.differences if one.method_id == "cot")  # type: ignore[operator]


@pytest.mark.parametrize("selector", ["majority", "prm_min_vote"])
def test_a_better_run_passes(nights: Path, selector: SelectorName) -> None:
    first, _, third = runs_of(nights)
    assert judge(Store(nights), third, GateConfig(selector=selector)).fallen
    assert not judge(Store(nights), first, GateConfig(selector=selector, against=third.run_id)).fallen


def test_what_came_last_is_complete_of_the_same_name_and_older(nights: Path, tmp_path: Path) -> None:
    first, second, third = runs_of(nights)
    store = Store(tmp_path)
    for run in (first, replace(second, status="failed"), third, *runs_of(nights, "other")):
        store.write_run(run)
    store.write_run(replace(second, run_id="nightly-prm", stages=second.stages[:1]))
    assert earlier_run(store, third, "last") == first
    assert earlier_run(store, first, "last") is None, "a model rolled back is not held against what came after it"
    for wrong, reason in ((third.run_id, "the run itself"), (second.run_id, "not complete"), ("x", "no run named")):
        with pytest.raises(UserError, match=reason):
            earlier_run(store, third, wrong)


async def test_a_gate_against_a_run_that_is_not_there_is_told_before_anything_is_sampled(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gate: .*/store holds no run yet: make one with"):
        await evaluate(recipe_of(tmp_path, gate={"against": "gone"}), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_the_command_exits_with_3_on_a_regression_and_with_0_otherwise(
    nights: Path, events: Callable[[], list[Any]]
) -> None:
    first, second, third = (run.run_id for run in runs_of(nights))
    code, output = told("gate", "nightly", "--store", nights)
    assert code == 3 and f"{third} is less accurate than {second}" in output
    code, output = told("gate", second, "--against", first, "--store", nights)
    assert code == 0 and f"{second} holds against {first}" in output
    code, output = told("gate", first, "--store", nights)
    assert code == 0 and "nothing to compare with yet" in output
    assert [event.event for event in events()] == [gate_events.FAILED, gate_events.PASSED, gate_events.PASSED]
    code, output = told("gate", third, "--store", nights, "--format", "json")
    assert code == 3 and json.loads(output[: output.rindex("}") + 1])["against"] == second
    assert told("gate", third, "--against", third, "--store", nights)[0] == 2


def test_without_a_server_the_gate_judges_all_the_same(nights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("nobody is there to be told")

    monkeypatch.setattr(gate_events, "emit_verdict", refuse)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert told("gate", "nightly", "--store", nights)[0] == 3


def test_a_recipe_with_a_gate_ends_with_3_each_time_it_is_run(nights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third = runs_of(nights)[2]
    path = nights.parent / "nightly.yaml"
    path.write_text(yaml.safe_dump({**third.recipe, "gate": {"selector": "majority"}}), encoding="utf-8")
    code, output = told("run", path, "--store", nights)
    assert code == 3 and "is less accurate than" in output and "prm_min_vote" in output
    assert len(runs_of(nights)) == 3, "a gate is in no key"


def test_a_gate_by_a_selector_that_the_recipe_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the gate's selector prm_last_max is none of this recipe"):
        recipe_of(tmp_path, gate={"selector": "prm_last_max"})
