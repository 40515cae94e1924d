"""Measure, decide, choose and the fit work some problems at a time: what they make is the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import overthink.tasks.stages.graded
from benchmarks.made_up import RUN_ID, write_store
from benchmarks.made_up_stages import MadeUpRun
from overthink.storage.manifest import Extent
from overthink.storage.store import Store
from overthink.tasks.analysis.aggregation import AGGREGATIONS, aggregate
from overthink.tasks.analysis.prm_measures import doubling_budgets, ranking_figures, selection_figures
from overthink.tasks.domains.math.judge import MathJudge
from overthink.tasks.stages.graded import join_all, read_graded
from overthink.tasks.strategy.outcomes import Collector, Findings
from overthink.tasks.strategy.run_reader import RunReader

PROBLEMS, N = 20, 8


@pytest.fixture(scope="module")
def judge() -> Iterator[MathJudge]:
    with MathJudge() as made:
        yield made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("made-up") / "store", PROBLEMS, N, shard_size=3).root


@pytest.fixture
def run(store: Path) -> Iterator[MadeUpRun]:
    """The run, whose problems are not in the order of their keys."""
    made = MadeUpRun(store)
    made.problems = replace(made.problems, all=made.problems.all[::-1])
    yield made
    made.forget()


def at_once(monkeypatch: pytest.MonkeyPatch, problems: int) -> None:
    monkeypatch.setattr(overthink.tasks.stages.graded, "ROLLOUTS_AT_ONCE", problems * N)


def measured(run: MadeUpRun, judge: MathJudge) -> pa.Table:
    node = run.measure()
    return node.part(run.context(node, judge), Extent(run.problems.units, 0, N))["prm_metrics"]


def test_a_prm_has_the_same_figures(run: MadeUpRun, judge: MathJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, PROBLEMS)
    expected = measured(run, judge)
    for problems in (1, 3, 7):
        at_once(monkeypatch, problems)
        assert measured(run, judge) == expected


def test_they_are_those_of_all_rollouts_together(run: MadeUpRun, judge: MathJudge) -> None:
    node, extent = run.measure(), Extent(run.problems.units, 0, N)
    context = run.context(node, judge)
    graded = read_graded(context.stage_of(node.grades.key), context.stage_of(node.scores.key), extent)
    pools = [pool.all for pool in join_all(graded, judge).values()]
    everyone = [rollout for key in sorted(graded) for rollout in graded[key]]
    figures = list(selection_figures(pools, doubling_budgets(N), 0))
    for name in AGGREGATIONS:
        values = np.array([aggregate(rollout.scores or (), name) for rollout in everyone])
        figures += ranking_figures(values, np.array([rollout.correct for rollout in everyone], dtype=bool), name)
    found = [
        (row["measure"], row["aggregation"], row["point"], row["value"], row["count"])
        for row in measured(run, judge).to_pylist()
        if not row["measure"].startswith("length_bias")
    ]
    told = [(one.measure, one.aggregation, one.point, one.value, one.count) for one in figures]
    assert len(found) == len(told) and set(found) == set(told)


def test_a_strategy_decides_and_chooses_the_same(
    run: MadeUpRun, judge: MathJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, choose, extent = run.decide(), run.choose(), Extent(run.problems.units, 0, N)
    features: list[list[float]] = []
    decisions = decide.decide

    def noted(found: np.ndarray, tokens: np.ndarray) -> object:
        features.append([*found.ravel(), *tokens])
        return decisions(found, tokens)

    noting = replace(decide, decide=noted)
    run.make(decide, judge)
    made = []
    for problems in (PROBLEMS, 1, 3):
        at_once(monkeypatch, problems)
        made.append(choose.part(run.context(choose, judge), extent))
        noting.part(run.context(noting, judge), extent)
    assert made[0] == made[1] == made[2] and made[0]["groups"].num_rows == PROBLEMS * N
    assert features[0] == features[1] == features[2]


def found_by(store: Path) -> Findings:
    opened = Store(store)
    return Collector([RunReader(opened, opened.find_run(RUN_ID))]).collect()


def numbers(findings: Findings) -> list[object]:
    seen = findings.observations
    options = [(*seen.options, *seen.fixed), *((*one.options, *one.fixed) for one in seen.known.values())]
    return [
        *(array.tolist() for array in (seen.features, seen.pilot_tokens, seen.pass_at_1)),
        *([one.method_id, one.selector, *one.accuracy, *one.tokens, *one.flops] for each in options for one in each),
        {budget: known.pass_at_1.tolist() for budget, known in seen.known.items()},
        findings.left_out,
    ]


def test_the_fit_finds_the_same(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once(monkeypatch, PROBLEMS)
    expected = numbers(found_by(store))
    for problems in (1, 3):
        at_once(monkeypatch, problems)
        assert numbers(found_by(store)) == expected
