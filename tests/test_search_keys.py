"""Stage keys of searches, whose one stage holds rollouts, trees and scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import DVTS, build_model, methods_of, plan, searched

SEARCHES: list[dict[str, Any]] = [
    {"method": "beam_search", "n": 8},
    DVTS,
    {"method": "rebase", "n": 8},
    {"method": "particle_filtering", "n": 8},
    {"method": "mcts", "n": 8},
]


@pytest.mark.parametrize("method", SEARCHES, ids=lambda method: str(method["method"]))
def test_a_search_is_one_stage_that_scores_for_itself(method: dict[str, Any]) -> None:
    found = searched(method)
    assert found.make_key.startswith("search-")
    assert found.score_key is None
    assert found.scores_key == found.make_key
    method_id = found.nodes[0].method_id
    assert [(use.kind, use.key, use.method_id, use.n) for use in found.uses()] == [
        ("search", found.make_key, method_id, 8),
        ("grade", found.grade_key, method_id, 8),
        ("select", found.select_key, method_id, None),
    ]


def test_independent_rollouts_are_scored_by_a_stage_of_their_own() -> None:
    for found in (searched({"method": name, "n": 8}) for name in ("best_of_n", "adaptive")):
        assert found.make_key.startswith("sample-")
        assert found.scores_key == found.score_key != found.make_key
        assert [use.kind for use in found.uses()] == ["sample", "score", "grade", "select"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": {"max_tokens": 64}},
        {"shard_size": 1},
        {"name": "other"},
        {"budgets": [8]},
        {"selectors": ["majority"]},
        {"grading": {"extraction": "lenient"}},
        {"problems": {"source": "chains", "count": 5}},
        {"policy": {"engine": "fake", "latency_ms": 5}},
        {"prm": {"engine": "fake", "latency_ms": 5}},
        {"methods": [{"method": "dvts", "n": 8, "beam_width": 4, "return": "best"}]},
    ],
    ids="-".join,
)
def test_what_changes_no_tree_does_not_change_a_searchs_key(changes: dict[str, Any]) -> None:
    assert searched(**changes).make_key == searched().make_key


def test_other_methods_of_a_recipe_do_not_change_a_searchs_key() -> None:
    others = [{"method": "cot"}, {"method": "beam_search", "n": 8}, DVTS]
    assert methods_of(plan(methods=others))[2].make_key == searched().make_key


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": {"temperature": 0.8}},
        {"sampling": {"top_p": 0.9}},
        {"sampling": {"step_delimiter": "\n"}},
        {"seed": 1},
        {"policy": {"engine": "fake", "steps": 5}},
        {"methods": [{"method": "dvts", "n": 16}]},
        {"methods": [{"method": "dvts", "n": 8, "beam_width": 2}]},
        {"methods": [{"method": "dvts", "n": 8, "return": "siblings"}]},
        {"methods": [{"method": "dvts", "n": 8, "lookahead": 1}]},
        {"methods": [{"method": "dvts", "n": 8, "max_depth": 5}]},
        {"methods": [{"method": "dvts", "n": 8, "step_tokens": 64}]},
        {"methods": [{"method": "beam_search", "n": 8}]},
    ],
    ids=json.dumps,
)
def test_what_changes_a_tree_changes_a_searchs_key_and_those_after_it(changes: dict[str, Any]) -> None:
    before, after = searched(), searched(**changes)
    assert before.make_key != after.make_key
    assert before.grade_key != after.grade_key
    assert before.select_key != after.select_key


@pytest.mark.parametrize(
    ("method", "parameter"),
    [
        ({"method": "beam_search", "n": 8}, {"variant": "hf"}),
        ({"method": "rebase", "n": 8}, {"balance": 0.1}),
        ({"method": "particle_filtering", "n": 8}, {"iterations": 2}),
        ({"method": "particle_filtering", "n": 8}, {"resampling_temperature": 0.5}),
        ({"method": "mcts", "n": 8}, {"rule": "uct"}),
        ({"method": "mcts", "n": 8}, {"exploration": 2.0}),
        ({"method": "adaptive", "n": 8}, {"wave": 2}),
        ({"method": "adaptive", "n": 8}, {"threshold": 0.9}),
        ({"method": "adaptive", "n": 8}, {"n": 16}),
        ({"method": "adaptive", "n": 8}, {"rule": "bayes_factor"}),
        ({"method": "adaptive", "n": 8, "rule": "bayes_factor"}, {"factor": 30.0}),
    ],
    ids=json.dumps,
)
def test_every_parameter_of_a_method_changes_its_key(method: dict[str, Any], parameter: dict[str, Any]) -> None:
    assert searched(method).make_key != searched(method | parameter).make_key


def test_a_search_depends_on_its_prm_and_the_prms_parameters(model: Path, tmp_path: Path) -> None:
    other = build_model(tmp_path / "other" / "tiny", np.ones((3, 4), dtype=np.float32))
    prms: list[dict[str, Any]] = [
        {"engine": "fake"},
        {"engine": "torch", "model": str(model)},
        {"engine": "vllm", "model": str(model)},
        {"engine": "torch", "model": str(other)},
        {"engine": "torch", "model": str(model), "dtype": "float32"},
        {"engine": "torch", "model": str(model), "max_model_len": 64},
    ]
    assert len({searched(prm=prm).make_key for prm in prms}) == len(prms)
    assert len({searched({"method": "best_of_n", "n": 8}, prm=prm).make_key for prm in prms}) == 1


def test_moving_or_placing_a_prm_does_not_change_a_searchs_key(model: Path, tmp_path: Path) -> None:
    before = searched(prm={"engine": "torch", "model": str(model)})
    placed = searched(prm={"engine": "torch", "model": str(model), "placement": {"gpus": [1], "gpu_memory": 0.5}})
    shutil.move(model, tmp_path / "elsewhere")
    moved = searched(prm={"engine": "torch", "model": str(tmp_path / "elsewhere")})
    assert before.make_key == placed.make_key == moved.make_key


def test_adaptive_depends_on_how_answers_are_found_and_best_of_n_does_not() -> None:
    lenient = {"grading": {"extraction": "lenient"}}
    strict_keys, lenient_keys = (
        {name: searched({"method": name, "n": 8}, **changes).make_key for name in ("adaptive", "best_of_n")}
        for changes in ({}, lenient)
    )
    assert strict_keys["adaptive"] != lenient_keys["adaptive"]
    assert strict_keys["best_of_n"] == lenient_keys["best_of_n"]


@pytest.mark.parametrize(
    "method", [*SEARCHES, {"method": "adaptive", "n": 8}], ids=lambda method: str(method["method"])
)
def test_only_adaptive_stops_by_length_of_the_solution(method: dict[str, Any]) -> None:
    shorter = searched(method, sampling={"max_tokens": 64})
    assert (shorter.make_key == searched(method).make_key) == (method["method"] != "adaptive")
