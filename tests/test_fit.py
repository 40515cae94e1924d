"""`overthink fit`, end to end on fake engines: what it reads from the store, what it writes, and what it refuses."""

import asyncio
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import recipe_of
from search_runs import Row, base, one, rows
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage.files import read_json
from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.store import StageUse, Store, Sweep
from overthink.tasks.engines.registry import identify
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.strategy_file import read_strategy
from overthink.tasks.strategy.fit_runs import Fit, fit
from overthink.tasks.strategy.outcomes import Collector, Findings
from overthink.tasks.strategy.run_reader import RunReader

PROBLEMS = 36
SAMPLES: Row = {"method": "best_of_n", "n": 16}
AFTER_PILOT: list[Row] = [{"method": "beam_search", "n": 12}, {"method": "dvts", "n": 12}]
FIXED: list[Row] = [{"method": "dvts", "n": 16}, {"method": "adaptive", "n": 16}]
COSTS = "SELECT problem_id, policy_completion_tokens AS value FROM costs WHERE method_id = '{}'"
METHODS = [{"method": "cot"}, SAMPLES, *AFTER_PILOT, *FIXED]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Row:
    """Half of the problems have the answer that the fake gives most often."""
    return base(tmp_path_factory.mktemp("problems"), PROBLEMS) | {
        "name": "whole",
        "methods": METHODS,
        "budgets": [1, 4, 8, 16],
    }


@pytest.fixture(scope="module")
def store(recipe: Row, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "store"
    asyncio.run(evaluate(recipe_of(recipe), folder))
    return folder


@pytest.fixture
def more(store: Path, tmp_path: Path) -> Path:
    """A copy of the store, to hold more runs."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def put_run(store: Path, run_id: str, prm: str | None = "the same", count: int = PROBLEMS, **changes: Any) -> None:
    """A run of some of the methods, or of the first problems, that stands on the stages of `whole`."""
    opened = Store(store)
    whole = opened.find_run("whole")
    recipe = {**whole.recipe, **changes}
    methods = {method.method_id for method in Recipe.model_validate(recipe).methods}
    stages = [use for use in whole.stages if use.method_id in methods]
    problems = opened.stage(next(use.key for use in whole.stages if use.kind == "problems")).table("problems")
    first = opened.stage(f"problems-{count}")
    units = tuple(problems["problem_key"].to_pylist()[:count])
    first.write_part(Extent(units, 0, 1), {"problems": problems.slice(0, count)})
    changed = {} if prm == "the same" else {"prm": prm}
    stages = [StageUse("problems", first.key), *stages]
    opened.write_run(replace(whole, run_id=run_id, recipe=recipe, stages=tuple(stages), **changed))


def put_regraded(store: Path, run_id: str, grader: str, unknown: str | None = None) -> None:
    """The run `whole` as another grader saw it, to whom every answer to the problem `unknown` is too hard."""
    opened = Store(store)
    whole = opened.find_run("whole")
    stages = {use: use for use in whole.stages}
    for use in whole.stages:
        if use.kind == "grade":
            stage = opened.stage(use.key)
            identity = read_json(stage.folder / "stage.json") | {"grader": {"math-verify": grader}}
            other = opened.stage(labelled_key("grade", identity))
            other.describe(identity)
            answers, grades = stage.table("answers").to_pylist(), stage.table("grades").to_pylist()
            hard = {row["rollout_id"] for row in answers if row["problem_key"] == unknown}
            grades = [row | ({"correct": None} if row["rollout_id"] in hard else {}) for row in grades]
            extent = Extent(tuple({row["problem_key"] for row in answers}), 0, use.n or 1)
            other.write_part(
                extent, {"answers": rows_table("answers", answers), "grades": rows_table("grades", grades)}
            )
            stages[use] = replace(use, key=other.key)
    opened.write_run(replace(whole, run_id=run_id, stages=tuple(stages.values())))


def findings_of(store: Path, *names: str) -> Findings:
    opened = Store(store)
    return Collector([RunReader(opened, opened.find_run(name)) for name in names]).collect()


@pytest.fixture(scope="module")
def findings(store: Path) -> Findings:
    return findings_of(store, "whole")


@pytest.fixture(scope="module")
def fitted(store: Path) -> Fit:
    (found,) = fit(Store(store), ["whole"], "trial")
    return found


def overthink_fit(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["fit", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def in_order(store: Path, sql: str) -> list[Any]:
    """One column by problem, in the order of their keys."""
    keyed = rows(store, f"SELECT problem_key, value FROM ({sql}) JOIN problems USING (problem_id) ORDER BY problem_key")
    return [row["value"] for row in keyed]


def test_a_fixed_way_is_worth_what_the_summary_says_and_costs_what_its_calls_do(
    store: Path, findings: Findings
) -> None:
    methods = {"best_of_n-n16", "dvts-n16-m4", "adaptive-n16"}
    costs = {method_id: in_order(store, COSTS.format(method_id)) for method_id in methods}
    summary = rows(store, "SELECT method_id, selector, accuracy FROM summary WHERE n = 16")
    accuracies = {(row["method_id"], row["selector"]): row["accuracy"] for row in summary}
    assert len(accuracies) == len(summary)
    fixed = [option for option in findings.observations.fixed if option.budget == 16]
    for option in fixed:
        assert option.accuracy.mean() == pytest.approx(accuracies[option.method_id, option.selector]), option.method_id
        assert option.tokens.tolist() == costs[option.method_id]
    assert {option.method_id for option in fixed} == methods


def test_the_budgets_are_those_of_the_recipe_that_hold_a_pilot(findings: Findings) -> None:
    assert findings.observations.budgets == (4, 8, 16)
    assert sorted(findings.observations.any_right) == [4, 8, 16]


def test_fewer_samples_cost_the_calls_for_these_samples(store: Path, findings: Findings) -> None:
    (option,) = [one for one in findings.observations.options if (one.budget, one.selector) == (8, "majority")]
    sql = """SELECT problem_id, sum(completion_tokens) AS value FROM rollouts
             WHERE method_id = 'best_of_n-n16' AND sample_index < 8 GROUP BY ALL"""
    assert option.tokens.tolist() == in_order(store, sql)


def test_what_goes_on_from_the_pilot_costs_the_pilot_too(store: Path, findings: Findings) -> None:
    pilots = """SELECT problem_id, sum(completion_tokens) AS value FROM rollouts
                WHERE method_id = 'best_of_n-n16' AND sample_index < 4 GROUP BY ALL"""
    expected = np.array(in_order(store, pilots)) + np.array(in_order(store, COSTS.format("beam_search-n12-m4")))
    (option,) = [
        one
        for one in findings.observations.options
        if (one.method_id, one.selector) == ("beam_search-n12-m4", "majority")
    ]
    assert option.budget == 16
    assert option.tokens.tolist() == expected.tolist()
    assert findings.observations.pilot_tokens.tolist() == in_order(store, pilots)


def test_a_vote_is_taken_over_pilot_and_search_together(store: Path, findings: Findings) -> None:
    found = rows(
        store,
        """SELECT problem_key, answer_key, correct FROM rollouts JOIN grades USING (rollout_id)
           JOIN problems USING (problem_id)
           WHERE method_id = 'best_of_n-n16' AND sample_index < 4 OR method_id = 'dvts-n12-m4'
           ORDER BY problem_key, method_id, sample_index""",
    )
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    right: dict[tuple[str, str], bool] = {}
    for row in (row for row in found if row["answer_key"] is not None):
        votes[row["problem_key"]][row["answer_key"]] += 1
        right[row["problem_key"], row["answer_key"]] = row["correct"]
    # Counter.most_common keeps the first encountered in front, as a vote does.
    expected = [right[key, ballots.most_common(1)[0][0]] for key, ballots in sorted(votes.items())]
    (option,) = [
        one for one in findings.observations.options if (one.method_id, one.selector) == ("dvts-n12-m4", "majority")
    ]
    assert option.accuracy.tolist() == [float(value) for value in expected]


def test_pass_at_1_and_pass_at_n_are_over_all_samples(store: Path, findings: Findings) -> None:
    sql = """SELECT problem_id, {} AS value FROM rollouts JOIN grades USING (rollout_id)
             WHERE method_id = 'best_of_n-n16' GROUP BY ALL"""
    assert findings.observations.pass_at_1.tolist() == in_order(store, sql.format("avg(correct::INT)"))
    assert findings.observations.any_right[16].accuracy.tolist() == in_order(store, sql.format("max(correct::INT)"))


def test_the_strategy_holds_what_it_takes_to_apply_it(recipe: Row, store: Path, fitted: Fit) -> None:
    strategy = fitted.strategy
    parsed = recipe_of(recipe)
    assert (strategy.policy, strategy.prm, strategy.sampling) == (parsed.policy, parsed.prm, parsed.sampling)
    assert (strategy.grading, strategy.difficulty, strategy.seed) == (parsed.grading, parsed.difficulty, 0)
    assert strategy.prm_id == one(store, "SELECT prm FROM runs")
    assert strategy.policy_id == identify(parsed.policy).address
    assert strategy.fitted_from == (one(store, "SELECT run_id FROM runs"),)
    assert strategy.budgets == (4, 8, 16)
    assert all(choice.flops is None for choice in strategy.choices), "nobody knows the size of a fake"


def test_held_out_accuracies_of_the_bins_add_up_to_that_of_choosing_by_difficulty(fitted: Fit) -> None:
    for budget, followed in fitted.validation.after_pilot.items():
        choices = [choice for choice in fitted.strategy.choices if choice.budget == budget]
        assert sum(choice.problems for choice in choices) == PROBLEMS
        right = sum(choice.problems * (choice.accuracy or 0) for choice in choices)
        assert right / PROBLEMS == pytest.approx(followed.accuracy.mean(), abs=1e-5)


def test_where_a_fixed_way_is_always_right_its_budget_has_no_pilot(
    store: Path, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = (16, "dvts-n16-m4", "majority")
    fixed = [
        replace(option, accuracy=np.ones(PROBLEMS))
        if (option.budget, option.method_id, option.selector) == best
        else option
        for option in findings.observations.fixed
    ]
    known = replace(findings, observations=replace(findings.observations, fixed=fixed))
    monkeypatch.setattr(Collector, "collect", lambda _: known)
    (found,) = fit(Store(store), ["whole"], "trial")
    (choice,) = [choice for choice in found.strategy.without_pilot if choice.budget == 16]
    assert (choice.budget, choice.method.method_id, choice.selector) == best
    assert (choice.problems, choice.accuracy) == (PROBLEMS, 1.0)
    tokens = next(
        option.tokens.mean() for option in fixed if (option.budget, option.method_id, option.selector) == best
    )
    assert choice.policy_tokens == pytest.approx(tokens, rel=1e-5)
    assert found.strategy.fixed_choice(16) is choice
    assert len([choice for choice in found.strategy.choices if choice.budget == 16]) == 3, "for totals"


def test_the_command_writes_the_strategy_and_asks_no_engine(
    store: Path, fitted: Fit, count_calls: Counter[str], tmp_path: Path
) -> None:
    code, told = overthink_fit("whole", "--store", store, "--out", tmp_path / "trial.yaml")
    assert code == 0
    assert read_strategy(tmp_path / "trial.yaml") == fitted.strategy
    assert "known difficulty" in told and "dvts-n16-m4" in told and "pass@n" in told
    assert "expected calibration error" in told and "quantile 5" in told and "predicted hard" in told
    assert f"wrote {tmp_path / 'trial.yaml'}" in told
    assert sum(count_calls.values()) == 0
    before = (tmp_path / "trial.yaml").read_bytes()
    overthink_fit("whole", "--store", store, "--out", tmp_path / "trial.yaml")
    assert (tmp_path / "trial.yaml").read_bytes() == before


def test_runs_of_one_policy_and_prm_count_as_one(more: Path, fitted: Fit) -> None:
    put_run(more, "samples", methods=[SAMPLES])
    put_run(more, "searches", methods=[*AFTER_PILOT, *FIXED])
    (both,) = fit(Store(more), ["searches", "samples", "samples"], "trial")
    assert both.strategy.fitted_from == ("searches", "samples")
    arrays = {name: getattr(fitted, name) for name in ("strategy", "observations", "validation", "shared")}
    assert replace(both, **arrays) == fitted
    assert repr(both.shared) == repr(fitted.shared)
    assert both.strategy.model_copy(update={"fitted_from": fitted.strategy.fitted_from}) == fitted.strategy


def test_the_name_of_a_sweep_stands_for_its_runs(more: Path) -> None:
    put_run(more, "samples", methods=[SAMPLES])
    put_run(more, "searches", methods=AFTER_PILOT, budgets=[12])
    Store(more).write_sweep(Sweep("grid-1", "grid", ("samples", "searches")))
    (found,) = fit(Store(more), ["grid"], "trial")
    assert set(found.strategy.fitted_from) == {"samples", "searches"}


def test_each_policy_and_prm_gets_a_strategy_of_its_own(more: Path, tmp_path: Path) -> None:
    put_run(more, "other", prm="other@12345678", methods=[SAMPLES])
    code, _ = overthink_fit("whole", "other", "--store", more, "--out", tmp_path / "s.yaml", "--name", "both")
    assert code == 0
    strategies = [read_strategy(tmp_path / f"s-fake-{prm}.yaml") for prm in ("fake", "other")]
    assert [one.name for one in strategies] == ["both-fake-fake", "both-fake-other"]
    assert strategies[1].prm_id == "other@12345678"


def test_models_of_one_name_are_told_apart_by_their_addresses(more: Path, tmp_path: Path) -> None:
    put_run(more, "other", prm="fake@12345678", methods=[SAMPLES])
    assert overthink_fit("whole", "other", "--store", more, "--out", tmp_path / "s.yaml")[0] == 0
    written = sorted(path.name for path in tmp_path.glob("*.yaml"))
    strategies = [read_strategy(tmp_path / name) for name in written]
    assert written == [f"s-{one.policy_id}-{one.prm_id}.yaml" for one in strategies]
    assert len(strategies) == 2


def test_a_way_that_some_problems_lack_is_left_out_and_said(more: Path, tmp_path: Path) -> None:
    put_run(more, "samples", methods=[SAMPLES])
    put_run(more, "fewer", count=PROBLEMS - 3, methods=AFTER_PILOT[:1], budgets=[12])
    found = findings_of(more, "samples", "fewer")
    assert found.left_out == ("beam_search-n12-m4",)
    assert {option.method for option in found.observations.options} == {"best_of_n"}
    code, told = overthink_fit("samples", "fewer", "--store", more, "--out", tmp_path / "s.yaml")
    assert code == 0 and "left out: beam_search-n12-m4, which was not run on all problems" in told


def test_only_selectors_that_every_recipe_lists_are_chosen_among(more: Path) -> None:
    listed = ["majority", "prm_min_vote"]
    put_run(more, "listed", methods=[SAMPLES], selectors=listed)
    found = findings_of(more, "listed")
    assert {option.selector for option in found.observations.options} == set(listed)
    assert found.observations.any_right[16].selector == "oracle", "the bound needs no listing"


REFUSED: dict[str, tuple[Row, str]] = {
    "without a PRM": ({"prm": None}, "run bad has no PRM scores: name a `prm` in its recipe"),
    "without pilots": ({"methods": FIXED}, "bad hold no best_of_n, whose first rollouts are the pilots: add {method:"),
    "without a budget": (
        {"budgets": [1, 2]},
        "no budget in common between the pilot of 4 and the 16 rollouts of best_of_n; their budgets are 1, 2: raise n",
    ),
    "of few problems": ({"count": 15}, "bad: 15 problems are too few for two folds: take 16 at least"),
    "of other sampling": ({"sampling": {"max_tokens": 255}}, "whole and bad differ in sampling: "),
    "of another seed": ({"seed": 1}, "whole and bad differ in seed: a strategy needs runs with the same value"),
    "of another pilot": ({"difficulty": {"pilot": 2}}, "whole and bad differ in difficulty: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_runs_that_cannot_be_fitted_to_are_told_with_the_remedy(name: str, more: Path, tmp_path: Path) -> None:
    changes, message = REFUSED[name]
    put_run(more, "bad", **changes)
    whole = Store(more).find_run("whole").run_id
    names = [whole, "bad"] if "differ" in message else ["bad"]
    code, told = overthink_fit(*names, "--store", more, "--out", tmp_path / "s.yaml")
    assert code == 2
    assert message in told.replace(whole, "whole")
    assert not (tmp_path / "s.yaml").exists()


def test_runs_of_two_graders_are_not_fitted_to_together(more: Path, tmp_path: Path) -> None:
    put_regraded(more, "bad", grader="0.0.1")
    whole = Store(more).find_run("whole").run_id
    code, told = overthink_fit(whole, "bad", "--store", more, "--out", tmp_path / "s.yaml")
    assert code == 2 and "were not graded by the same grader: run the recipe of the older one again" in told
    assert overthink_fit("bad", "--store", more, "--out", tmp_path / "s.yaml")[0] == 0


def test_a_problem_without_a_known_verdict_is_left_out_and_said(more: Path, tmp_path: Path) -> None:
    lost = rows(more, "SELECT problem_key FROM problems ORDER BY problem_key LIMIT 1")[0]["problem_key"]
    put_regraded(more, "hard", grader="0.0.1", unknown=lost)
    found, whole = findings_of(more, "hard"), findings_of(more, "whole")
    assert (found.unknown, whole.unknown) == (1, 0)
    assert found.observations.pass_at_1.tolist() == whole.observations.pass_at_1.tolist()[1:]
    assert len(found.observations.fixed) == len(whole.observations.fixed)
    code, told = overthink_fit("hard", "--store", more, "--out", tmp_path / "s.yaml")
    assert code == 0 and "left out: 1 problem, where" in told


def test_a_run_that_is_not_whole_is_told(more: Path) -> None:
    run = Store(more).find_run("whole")
    Store(more).write_run(replace(run, status="failed"))
    code, told = overthink_fit("whole", "--store", more)
    assert code == 2 and f"run {run.run_id} is not complete: run its recipe again to finish it" in told
    Store(more).write_run(run)
    next(more.glob("stages/score-*/parts/*.scores.parquet")).unlink()
    code, told = overthink_fit("whole", "--store", more)
    assert code == 2 and "is missing; run its recipe again, which mends it" in told


def test_a_name_that_no_method_id_can_hold_is_refused(store: Path, tmp_path: Path) -> None:
    code, told = overthink_fit("whole", "--store", store, "--out", tmp_path / "s.yaml", "--name", "it's mine")
    assert code == 2 and "cannot be a strategy's name" in told
    assert not (tmp_path / "s.yaml").exists()


def test_a_run_or_store_that_is_not_there_is_told(store: Path, tmp_path: Path) -> None:
    assert "holds no run named 'nothing'" in overthink_fit("nothing", "--store", store)[1]
    code, told = overthink_fit("whole", "--store", tmp_path / "nowhere")
    assert code == 2 and "there is no store at" in told


def test_a_file_that_cannot_be_written_is_told(store: Path, tmp_path: Path) -> None:
    code, told = overthink_fit("whole", "--store", store, "--out", tmp_path / "nowhere" / "s.yaml")
    assert code == 2 and "make it, or name a file elsewhere" in told
