"""Searches that rank steps by the policy's own confidence: they do as by a PRM of the same opinion, and ask none."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import recipe_of
from drawn_trees import ALL
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import methods_of, plan
from search_trees import GROWTH, DrawnByLot, play
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.errors import BadReply
from overthink.tasks.methods.confident_steps import confidence_value
from overthink.tasks.methods.requests import Generate, Outcome
from overthink.tasks.methods.tree import step_texts
from overthink.tasks.records import Sample

DEEPER = replace(GROWTH, max_depth=4)
CONFIDENT = replace(DEEPER, value="confidence")


@dataclass(frozen=True)
class OfOneMind(DrawnByLot):
    """A world whose policy has the confidence c in a step that its PRM scores c / (1 + c)."""

    def sample(self, request: Generate) -> Sample:
        sample = super().sample(request)
        steps = step_texts([*(part for part in request.path if isinstance(part, Sample)), sample])
        score = self._score_of(steps)
        return replace(sample, confidences=(score / (1 - score),) * len(sample.tokens))

    def _score_of(self, steps: tuple[str, ...]) -> float:
        return Random(f"{self.seed} {steps}").choice([0.0, 0.5, 0.5, 0.75, 0.875])


def shown(outcome: Outcome) -> tuple[Any, Any]:
    nodes = [(node.address, node.value, node.kept, node.dropped, node.stop) for node in outcome.nodes]
    return nodes, [(rollout.path, rollout.stop_reason) for rollout in outcome.rollouts]


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=20, deadline=None)
def test_a_search_goes_where_a_prm_of_the_same_opinion_would_send_it(name: str, seed: int) -> None:
    by_prm, by_confidence = (play(ALL[name](growth), OfOneMind(seed)) for growth in (DEEPER, CONFIDENT))
    assert shown(by_confidence.result) == shown(by_prm.result)
    assert by_confidence.scored == []
    assert {rollout.scores for rollout in by_confidence.result.rollouts} <= {()}


@pytest.mark.parametrize(("confidences", "value"), [((0.0, 0.0), 0.0), ((1.0,), 0.5), ((2.0, 4.0), 0.75)])
def test_the_odds_of_a_value_are_the_mean_confidence(confidences: Sequence[float], value: float) -> None:
    ids = tuple(range(len(confidences)))
    step = Sample("a", ids, ids, (-1.0,) * len(ids), "stop", 1, confidences=tuple(confidences))
    assert confidence_value([step]) == value
    with pytest.raises(BadReply, match="the policy's engine gave none"):
        confidence_value([replace(step, confidences=None)])


BASE: dict[str, Any] = {
    "name": "confident",
    "problems": {"source": "chains", "count": 3},
    "policy": {"engine": "fake"},
    "methods": [{"method": "dvts", "n": 8, "value": "confidence"}, {"method": "rebase", "n": 4, "value": "confidence"}],
    "budgets": [4, 8],
}
DVTS, REBASE = "dvts-n8-m4-confidence", "rebase-n4-confidence-balance0.2"
NODES = "SELECT count(score) AS scores, min(value) AS least, max(value) AS most FROM nodes"


def test_it_needs_no_prm(prefect_server: str, tmp_path: Path, count_calls: Counter[str]) -> None:
    asyncio.run(evaluate(recipe_of(BASE), tmp_path))
    store = Store(tmp_path)
    assert count_calls["score"] == 0 < count_calls["generate"]
    found = query(store, "SELECT DISTINCT method_id, selector, prm_tokens FROM summary ORDER BY ALL").to_pylist()
    assert [tuple(row.values()) for row in found] == [
        (method, selector, 0) for method in (DVTS, REBASE) for selector in ("majority", "oracle")
    ]
    (nodes,) = query(store, NODES).to_pylist()
    assert nodes["scores"] == 0 <= nodes["least"] < nodes["most"] < 1
    (problem, *_) = query(store, "SELECT problem_id FROM problems ORDER BY ALL").to_pylist()
    words = ["tree", "confident", problem["problem_id"], "--method", DVTS, "--store", str(tmp_path)]
    tree = CliRunner().invoke(app, words)
    assert tree.exit_code == 0 and "0." in tree.output
    report = CliRunner().invoke(
        app, ["report", "confident", "--store", str(tmp_path), "--html", str(tmp_path / "a.html")]
    )
    assert report.exit_code == 0 and "PRM" not in report.output


def test_a_prm_of_the_recipe_scores_its_rollouts_afterwards(prefect_server: str, tmp_path: Path) -> None:
    asyncio.run(evaluate(recipe_of(BASE, prm={"engine": "fake"}), tmp_path))
    sql = f"SELECT selector, prm_tokens > 0 AS paid FROM summary WHERE method_id = '{DVTS}' ORDER BY ALL"
    found = {row["selector"]: row["paid"] for row in query(Store(tmp_path), sql).to_pylist()}
    assert found["prm_min_vote"] and not found["majority"]


def test_its_stage_is_the_same_with_and_without_a_prm_and_another_than_by_scores() -> None:
    methods = [{"method": "dvts", "n": 8, "value": value} for value in ("confidence", "prm")]
    confident, guided = (methods_of(plan(methods=[method]))[0] for method in methods)
    without = methods_of(plan(methods=methods[:1], prm=None))[0]
    assert confident.make_key == without.make_key != guided.make_key
    assert guided.make_key == methods_of(plan(methods=[{"method": "dvts", "n": 8}]))[0].make_key
    assert (confident.score_key is None, without.score_key, guided.score_key) == (False, None, None)
