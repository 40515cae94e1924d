"""Model files in the keys of stages: what is part of their identity, and models that are not there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import AFTER_SAMPLING, build_model, keys, methods_of, plan
from safetensors.numpy import save_file

from overthink.tasks.engines import models
from overthink.tasks.engines.engine_config import FakePolicyConfig, ScriptedConfig, TorchPrmConfig, VllmPolicyConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.registry import identify
from overthink.tasks.errors import EngineUnavailable


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
        lambda folder: (folder / "tokenizer.json").open("a").write("\n"),
        lambda folder: (folder / "tokenizer_config.json").open("a").write("\n"),
        lambda folder: (folder / "chat_template.jinja").open("a").write("{# #}"),
        lambda folder: (folder / "config.json").write_text('{"model_type": "qwen2", "hidden_size": 8}'),
        lambda folder: (folder / "generation_config.json").write_text("{}"),
        lambda folder: save_file({"c": np.zeros(1, dtype=np.float32)}, folder / "model-2.safetensors"),
    ],
    ids=[
        *("one weight byte", "tokenizer", "tokenizer config", "chat template", "config"),
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
    assert first.prm != second.prm


def test_placement_changes_no_key(model: Path) -> None:
    placement = {"gpus": [1], "gpu_memory": 0.5, "max_in_flight": 3, "cpu_cache_gib": 1}
    assert model_keys(model, placement=placement) == model_keys(model)


def test_draws_without_seeds_have_the_keys_of_those_with() -> None:
    served = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:9"]}
    assert keys(plan(policy=served | {"reproducible": "journal"})) == keys(plan(policy=served))


@pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, {"max_model_len": 64}])
def test_number_format_and_window_change_the_keys(model: Path, settings: dict[str, Any]) -> None:
    assert model_keys(model, **settings)["sample"] != model_keys(model)["sample"]


def sample_key(**policy: Any) -> str:
    return methods_of(plan(policy={"engine": "vllm", **policy}))[0].make_key


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


def cut_off(weights: bytes) -> bytes:
    return weights[:-1]


def cut_in_the_header(weights: bytes) -> bytes:
    return weights[:20]


def pointer(_: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 25000000\n"


def without_header(_: bytes) -> bytes:
    return (4).to_bytes(8, "little") + b"null"


@pytest.mark.parametrize("torn", [cut_off, cut_in_the_header, pointer, without_header, lambda _: b""])
def test_weights_that_are_not_whole_are_named_before_anything_is_loaded(
    model: Path, torn: Callable[[bytes], bytes]
) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(torn(weights.read_bytes()))
    with pytest.raises(EngineUnavailable, match=f"{weights} is no whole safetensors file .*: fetch it again"):
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
