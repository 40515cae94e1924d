"""Stage keys: what changes them, and what does not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import flows.evaluate
from flows.evaluate import check_shared_gpus
from flows.plan import MethodPlan, Plan, make_plan
from flows.recipe import Recipe, read_recipe
from tasks.engines import models
from tasks.engines.catalogue import identify
from tasks.engines.config import FakePolicyConfig, ScriptedConfig, TorchPrmConfig, VllmPolicyConfig
from tasks.engines.models import locate_model
from tasks.errors import EngineUnavailable
from tasks.problems.sources import ProblemSet, load_problems
from tasks.records import Problem

BASE: dict[str, Any] = {
    "name": "trial",
    "problems": {"source": "chains", "count": 4},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 8}],
    "budgets": [1, 8],
}


def plan(problem_set: ProblemSet | None = None, **changes: Any) -> Plan:
    recipe = Recipe.model_validate(BASE | changes)
    return make_plan(recipe, problem_set or load_problems(recipe.problems))


def keys(of: Plan) -> dict[str, str | None]:
    method = of.methods[0]
    return {
        "run": of.run_id,
        "problems": of.problems_key,
        "sample": method.make_key,
        "score": method.score_key,
        "grade": method.grade_key,
        "select": method.select_key,
    }


def changed(**changes: Any) -> set[str]:
    before, after = keys(plan()), keys(plan(**changes))
    return {stage for stage in before if before[stage] != after[stage]}


ALL = {"run", "problems", "sample", "score", "grade", "select"}
AFTER_SAMPLING = {"run", "sample", "score", "grade", "select"}


@pytest.mark.parametrize(
    "changes",
    [
        {"shard_size": 1},
        {"policy": {"engine": "fake", "latency_ms": 5}},
        {"prm": {"engine": "fake", "latency_ms": 5}},
        {"budgets": [8, 1]},
    ],
    ids=["shard_size", "policy latency", "prm latency", "order of budgets"],
)
def test_what_changes_no_result_changes_no_key(changes: dict[str, Any]) -> None:
    assert changed(**changes) == set()


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"name": "other"}, {"run"}),
        ({"sampling": {"temperature": 0.8}}, AFTER_SAMPLING),
        ({"sampling": {"top_p": 0.9}}, AFTER_SAMPLING),
        ({"sampling": {"max_tokens": 64}}, AFTER_SAMPLING),
        ({"sampling": {"step_delimiter": "\n"}}, AFTER_SAMPLING),
        ({"seed": 1}, AFTER_SAMPLING),
        ({"policy": {"engine": "fake", "steps": 5}}, AFTER_SAMPLING),
        ({"methods": [{"method": "cot"}], "budgets": [1]}, AFTER_SAMPLING),
        ({"methods": [{"method": "best_of_n", "n": 16}]}, {"run", "select"}),
        ({"budgets": [1, 2, 8]}, {"run", "select"}),
        ({"selectors": ["majority"]}, {"run", "select"}),
        ({"prm": None}, {"run", "score", "select"}),
        ({"grading": {"extraction": "lenient"}}, {"run", "grade", "select"}),
        ({"problems": {"source": "chains", "count": 5}}, {"run", "problems", "grade", "select"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_change_changes_the_keys_of_the_stages_it_reaches(changes: dict[str, Any], stages: set[str]) -> None:
    assert changed(**changes) == stages


def test_the_recipes_path_changes_no_key(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "elsewhere" / "b.yaml"]
    paths[1].parent.mkdir()
    for path in paths:
        path.write_text(json.dumps(BASE), encoding="utf-8")
    recipes = [read_recipe(path) for path in paths]
    first, second = (keys(make_plan(recipe, load_problems(recipe.problems))) for recipe in recipes)
    assert first == second


def test_a_default_written_out_changes_no_key() -> None:
    assert changed(sampling={"temperature": 0.7, "top_p": 1}, seed=0, grading={"extraction": "boxed"}) == set()


def problem_set(reference: str = "2", question: str = "1+1?") -> ProblemSet:
    return ProblemSet(domain="own", problems=(Problem(f"key of {question}", "0", question, reference),))


def test_a_reference_changes_grades_but_not_rollouts_or_scores() -> None:
    before, after = keys(plan(problem_set())), keys(plan(problem_set("3")))
    assert {stage for stage in before if before[stage] != after[stage]} == {"run", "problems", "grade", "select"}


def test_a_question_changes_its_unit_but_not_the_sample_stage() -> None:
    before, after = plan(problem_set()), plan(problem_set(question="2+2?"))
    assert before.units != after.units
    assert before.methods[0].make_key == after.methods[0].make_key
    assert before.run_id != after.run_id


def test_every_stage_key_starts_with_its_stage() -> None:
    assert {stage: key.split("-")[0] for stage, key in keys(plan()).items() if key and stage != "run"} == {
        stage: stage for stage in ALL - {"run"}
    }


def test_the_run_id_starts_with_the_name() -> None:
    assert plan().run_id.startswith("trial-")


def test_a_run_uses_each_stage_with_its_n() -> None:
    uses = [(use.kind, use.method_id, use.n) for use in plan().methods[0].uses()]
    assert uses == [(s, "best_of_n-n8", 8) for s in ("sample", "score", "grade")] + [("select", "best_of_n-n8", None)]


def build_model(folder: Path, weights: np.ndarray[Any, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "hidden_size": 4}))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    values = np.arange(12, dtype=np.float32).reshape(3, 4) if weights is None else weights
    save_file({"a": values, "b": np.zeros(5, dtype=np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return build_model(tmp_path / "tiny")


def model_keys(folder: Path, **settings: Any) -> dict[str, str | None]:
    engine = {"model": str(folder), **settings}
    return keys(plan(policy={"engine": "vllm", **engine}, prm={"engine": "torch", **engine}))


@pytest.mark.parametrize("place", ["elsewhere/tiny", "other-name"])
def test_moving_or_renaming_a_model_changes_no_key(model: Path, tmp_path: Path, place: str) -> None:
    before = model_keys(model)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.move(model, tmp_path / place)
    assert model_keys(tmp_path / place) == before


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: flip_last_byte(folder / "model.safetensors"),
        lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.1"}'),
        lambda folder: (folder / "tokenizer_config.json").write_text('{"bos_token": "x"}'),
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }} "),
        lambda folder: (folder / "chat_template.jinja").unlink(),
        lambda folder: (folder / "config.json").write_text('{"model_type": "qwen2", "hidden_size": 8}'),
        lambda folder: (folder / "generation_config.json").write_text("{}"),
        lambda folder: save_file({"c": np.zeros(1, dtype=np.float32)}, folder / "model-2.safetensors"),
    ],
    ids=[
        *("one weight byte", "tokenizer", "tokenizer config", "chat template", "no chat template", "config"),
        *("generation config", "another weights file"),
    ],
)
def test_a_changed_model_file_changes_the_keys(model: Path, change: Callable[[Path], object]) -> None:
    before = model_keys(model)
    change(model)
    after = model_keys(model)
    assert {stage for stage in before if before[stage] != after[stage]} == AFTER_SAMPLING


def test_a_prm_of_other_weights_changes_scores_alone(model: Path, tmp_path: Path) -> None:
    other = build_model(tmp_path / "other" / "tiny", np.ones((3, 4), dtype=np.float32))
    first, second = (plan(prm={"engine": "torch", "model": str(folder)}) for folder in (model, other))
    differing = {stage for stage, key in keys(first).items() if key != keys(second)[stage]}
    assert differing == {"run", "score", "select"}
    assert first.prm_id != second.prm_id


def test_placement_changes_no_key(model: Path) -> None:
    placement = {"gpus": [1], "gpu_memory": 0.5, "max_in_flight": 3, "cpu_cache_gib": 1}
    assert model_keys(model, placement=placement) == model_keys(model)


@pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, {"max_model_len": 64}])
def test_number_format_and_window_change_the_keys(model: Path, settings: dict[str, Any]) -> None:
    assert model_keys(model, **settings)["sample"] != model_keys(model)["sample"]


def sample_key(**policy: Any) -> str:
    method: MethodPlan = plan(policy={"engine": "vllm", **policy}).methods[0]
    return method.make_key


def test_the_prompt_changes_the_key_however_it_was_chosen(model: Path) -> None:
    by_style = {style: sample_key(model=str(model), prompt_style=style) for style in ("auto", "qwen", "r1", "plain")}
    assert by_style["auto"] == by_style["qwen"]
    assert len(set(by_style.values())) == 3


def test_a_model_is_named_by_its_folder_and_sized_by_its_headers(model: Path) -> None:
    save_file({"c": np.zeros((2, 3), dtype=np.float16)}, model / "model-2.safetensors", metadata={"format": "pt"})
    identity = identify(VllmPolicyConfig(model=str(model)))
    assert (identity.name, identity.parameters) == ("tiny", 3 * 4 + 5 + 2 * 3)


def test_a_scalar_weight_counts_as_one(model: Path) -> None:
    save_file({"scale": np.array(1.0, dtype=np.float32)}, model / "model.safetensors")
    assert identify(TorchPrmConfig(model=str(model))).parameters == 1


def test_fakes_have_no_size() -> None:
    assert identify(FakePolicyConfig()).parameters is None


def fingerprint(folder: Path) -> str:
    return locate_model(VllmPolicyConfig(model=str(folder))).fingerprint["weights"]


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    ("offset", "seen"),
    [(0, True), (15, True), (16, False), (2_000, False), (4_088, True), (8_191, True)],
)
def test_a_large_file_is_fingerprinted_by_samples(
    model: Path, monkeypatch: pytest.MonkeyPatch, offset: int, seen: bool
) -> None:
    monkeypatch.setattr(models, "WHOLE_FILE_LIMIT", 4096)
    monkeypatch.setattr(models, "SAMPLE_BYTES", 16)
    monkeypatch.setattr(models, "SAMPLES", 3)  # at bytes 0, 4088 and 8176 of 8192
    weights = model / "model.safetensors"
    weights.write_bytes(bytes(8192))
    before = fingerprint(model)
    flip(weights, offset)
    assert (fingerprint(model) != before) == seen


def test_a_large_files_size_is_part_of_its_fingerprint(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "WHOLE_FILE_LIMIT", 1024)
    monkeypatch.setattr(models, "SAMPLE_BYTES", 16)
    weights = model / "model.safetensors"
    weights.write_bytes(bytes(8192))
    before = fingerprint(model)
    weights.write_bytes(bytes(8193))
    assert fingerprint(model) != before


def test_every_byte_of_a_small_file_is_in_its_fingerprint(model: Path) -> None:
    weights = model / "model.safetensors"
    before = fingerprint(model)
    flip(weights, weights.stat().st_size // 2)
    assert fingerprint(model) != before


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_model_is_unavailable(model: Path, missing: str) -> None:
    (model / missing).unlink()
    with pytest.raises(EngineUnavailable, match=f"{model} holds no"):
        plan(policy={"engine": "vllm", "model": str(model)})


@pytest.mark.parametrize(
    ("name", "reason"), [("zoo/none", "the zoo holds no model 'none'"), ("./none", "no model folder")]
)
def test_a_model_that_is_not_there_is_unavailable(name: str, reason: str) -> None:
    with pytest.raises(EngineUnavailable, match=reason):
        locate_model(VllmPolicyConfig(model=name))


def test_a_scripts_contents_change_the_key_and_its_path_does_not(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text("{}")
    second.write_text("{}")
    same = [identify(ScriptedConfig(script=path)).determinants for path in (first, second)]
    second.write_text('{"policy": {}}')
    assert same[0] == same[1] != identify(ScriptedConfig(script=second)).determinants


# Searches: their one stage holds rollouts, trees and scores.

DVTS: dict[str, Any] = {"method": "dvts", "n": 8}
SEARCHES: list[dict[str, Any]] = [
    {"method": "beam_search", "n": 8},
    DVTS,
    {"method": "rebase", "n": 8},
    {"method": "particle_filtering", "n": 8},
    {"method": "mcts", "n": 8},
]


def searched(method: dict[str, Any] = DVTS, **changes: Any) -> MethodPlan:
    (found,) = plan(**{"methods": [method], **changes}).methods
    return found


@pytest.mark.parametrize("method", SEARCHES, ids=lambda method: str(method["method"]))
def test_a_search_is_one_stage_that_scores_for_itself(method: dict[str, Any]) -> None:
    found = searched(method)
    assert found.make_key.startswith("search-")
    assert found.score_key is None
    assert found.scores_key == found.make_key
    method_id = found.method.method_id
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
    assert plan(methods=others).methods[2].make_key == searched().make_key


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
        ({"method": "rebase", "n": 8}, {"balance": 0.2}),
        ({"method": "particle_filtering", "n": 8}, {"iterations": 2}),
        ({"method": "particle_filtering", "n": 8}, {"resampling_temperature": 0.5}),
        ({"method": "mcts", "n": 8}, {"rule": "uct"}),
        ({"method": "mcts", "n": 8}, {"exploration": 2.0}),
        ({"method": "adaptive", "n": 8}, {"wave": 2}),
        ({"method": "adaptive", "n": 8}, {"threshold": 0.9}),
        ({"method": "adaptive", "n": 8}, {"n": 16}),
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


# Policy and PRM of a search share what GPUs there are.


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.evaluate, "gpu_is_there", lambda: True)


def on_gpus(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], engine: str = "vllm", method: dict[str, Any] = DVTS
) -> Plan:
    return plan(
        policy={"engine": "vllm", "model": str(model), "placement": policy},
        prm={"engine": engine, "model": str(model), "placement": prm},
        methods=[{"method": "best_of_n", "n": 8}, method],
    )


@pytest.mark.parametrize(
    ("policy", "prm", "together", "gpu"),
    [
        ({}, {}, "1.8", 0),
        ({"gpu_memory": 0.6}, {"gpu_memory": 0.5}, "1.1", 0),
        ({"gpus": [0]}, {}, "1.8", 0),
        ({}, {"gpus": [0]}, "1.8", 0),
        ({"gpus": [1, 2], "data_parallel": 2}, {"gpus": [2, 3], "tensor_parallel": 2}, "1.8", 2),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "torch"])
@pytest.mark.usefixtures("with_gpu")
def test_a_search_whose_models_do_not_fit_on_one_gpu_together_is_refused_with_the_remedy(
    model: Path, policy: dict[str, Any], prm: dict[str, Any], together: str, gpu: int, engine: str
) -> None:
    expected = (
        rf"dvts-n8-m4 has policy and prm loaded at once, and together they ask for {together} of the memory of GPU "
        rf"{gpu}: lower placement.gpu_memory, or give each placement.gpus of its own"
    )
    with pytest.raises(EngineUnavailable, match=expected):
        check_shared_gpus(on_gpus(model, policy, prm, engine))


@pytest.mark.parametrize(
    ("policy", "prm"),
    [
        ({"gpu_memory": 0.3}, {"gpu_memory": 0.7}),
        ({"gpus": [0]}, {"gpus": [1]}),
        ({"gpus": [1]}, {}),
        ({"gpus": [0, 1], "tensor_parallel": 2}, {"gpus": [2]}),
    ],
)
@pytest.mark.usefixtures("with_gpu")
def test_models_that_fit_together_or_have_gpus_of_their_own_are_accepted(
    model: Path, policy: dict[str, Any], prm: dict[str, Any]
) -> None:
    check_shared_gpus(on_gpus(model, policy, prm))


@pytest.mark.usefixtures("with_gpu")
def test_without_a_search_the_models_are_loaded_in_turn_and_may_have_all(model: Path) -> None:
    check_shared_gpus(on_gpus(model, {}, {}, method={"method": "adaptive", "n": 8}))


@pytest.mark.usefixtures("with_gpu")
def test_a_fake_takes_no_memory(model: Path) -> None:
    check_shared_gpus(plan(policy={"engine": "vllm", "model": str(model)}, methods=[DVTS]))
    check_shared_gpus(plan(prm={"engine": "vllm", "model": str(model)}, methods=[DVTS]))


def test_without_a_gpu_nothing_is_shared(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.evaluate, "gpu_is_there", lambda: False)
    check_shared_gpus(on_gpus(model, {}, {}))


@pytest.mark.usefixtures("with_gpu")
def test_a_model_over_two_gpus_without_ids_takes_the_first_two(model: Path) -> None:
    with pytest.raises(EngineUnavailable, match="GPU 1"):
        check_shared_gpus(on_gpus(model, {"tensor_parallel": 2}, {"gpus": [1]}))
