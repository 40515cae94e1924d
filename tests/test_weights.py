"""Checkpoints whose weights are missing, misnamed, of another shape or in parts: told before anything is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import build_prm, tensors
from transformers import AutoConfig, AutoTokenizer, Qwen3MoeConfig, Qwen3MoeForCausalLM

from overthink.tasks.engines.engine_config import TorchPrmConfig, VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.prm.family_data import PrmFamilyName
from overthink.tasks.engines.registry import identify, open_policy, open_prm
from overthink.tasks.engines.vllm import vllm_policy, vllm_prm
from overthink.tasks.engines.weights import LANGUAGE_MODEL, check_weights
from overthink.tasks.errors import EngineUnavailable

Weights = dict[str, torch.Tensor]
QUESTION, STEPS = "What is 12 + 30?", ("First add.", "42")
PQM: PrmFamilyName = "pqm"


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> Path:
    weights = change(tensors(folder))
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


def without(*names: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: tensor for name, tensor in weights.items() if name not in names}


def renamed(name_of: Callable[[str], str]) -> Callable[[Weights], Weights]:
    return lambda weights: {name_of(name): tensor for name, tensor in weights.items()}


def with_another(name: str, *shape: int) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name: torch.zeros(*shape)}


async def scores(folder: Path, family: PrmFamilyName, **settings: Any) -> tuple[float, ...]:
    prm = await open_prm(TorchPrmConfig(model=str(folder), family=family, **settings))
    try:
        return (await prm.score(QUESTION, STEPS, 0)).values
    finally:
        await prm.close()


@pytest.mark.parametrize("family", ["pqm", "skywork", "qwen", "math-shepherd", "orm"])
async def test_a_layer_that_is_missing_is_named(family: PrmFamilyName, tmp_path: Path) -> None:
    folder = rewrite(build_prm(family, tmp_path / family), without("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(EngineUnavailable, match=f"{folder} lacks layers.1.mlp.up_proj.weight: .*fetch it again"):
        await scores(folder, family)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("pqm", "v_head.summary.bias"),
        ("skywork", "v_head.summary.weight"),
        ("qwen", "score.2.bias"),
        ("math-shepherd", "lm_head.weight"),
        ("trl", "score.bias"),
    ],
)
async def test_a_weight_of_the_head_that_is_missing_is_named(family: PrmFamilyName, name: str, tmp_path: Path) -> None:
    folder = rewrite(build_prm(family, tmp_path / family), without(name))
    with pytest.raises(EngineUnavailable, match=f"lacks {name}: "):
        await scores(folder, family)


@pytest.mark.parametrize("family", ["pqm", "skywork", "qwen", "math-shepherd"])
@pytest.mark.parametrize(
    "name_of",
    [
        lambda name: f"pretrained_model.{name}",
        lambda name: name if name.startswith(("v_head", "score")) else f"pretrained_model.{name}",
        lambda name: f"module.base_model.model.{name}",
        lambda name: name.removeprefix("model."),
    ],
    ids=["all wrapped", "the body wrapped, as TRL saves it", "two wrappers", "a bare body"],
)
async def test_the_names_that_wrappers_write_are_understood(
    family: PrmFamilyName, name_of: Callable[[str], str], tmp_path: Path
) -> None:
    folder = build_prm(family, tmp_path / family)
    expected = await scores(folder, family)
    assert await scores(rewrite(folder, renamed(name_of)), family) == expected


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            renamed(lambda name: f"encoder.{name}"),
            r"lacks embed_tokens.weight, .* and \d+ more \(42 in all\); holds what",
        ),
        (with_another("model.layers.7.mlp.up_proj.weight", 3), "holds what nothing uses, model.layers.7.mlp.up_proj"),
        (with_another("model.norm.weight", 7), r"of another shape, norm.weight \(7,\) for \(64,\)"),
        (with_another("score.0.weight", 64, 32), r"of another shape, score.0.weight \(64, 32\) for \(64, 64\)"),
        (with_another("pretrained_model.model.norm.weight", 64), "twice, bare and in a wrapper: model.norm.weight"),
    ],
    ids=["unknown prefix", "a layer too many", "shape of the body", "shape of the head", "twice"],
)
async def test_what_does_not_fit_is_told(change: Callable[[Weights], Weights], told: str, tmp_path: Path) -> None:
    folder = rewrite(build_prm("qwen", tmp_path / "qwen"), change)
    with pytest.raises(EngineUnavailable, match=told):
        await scores(folder, "qwen")


async def test_what_may_be_absent_or_be_there_besides_is_no_fault(tmp_path: Path) -> None:
    """A value head's model keeps its language-model head, and old versions saved what they computed."""
    folder = build_prm("skywork", tmp_path / "skywork")
    expected = await scores(folder, "skywork")
    rewrite(folder, without("lm_head.weight"))
    assert await scores(folder, "skywork") == expected
    rewrite(folder, with_another("model.layers.0.self_attn.rotary_emb.inv_freq", 16))
    assert await scores(folder, "skywork") == expected


async def test_a_head_that_is_tied_to_the_embedding_needs_no_weight_of_its_own(tmp_path: Path) -> None:
    folder = rewrite(build_prm("verifier", tmp_path / "tied"), without("lm_head.weight"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    tied = await scores(folder, "verifier")
    rewrite(folder, lambda weights: weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    assert await scores(folder, "verifier") == tied


def test_a_base_to_train_on_is_its_body_whatever_stands_on_it(tmp_path: Path) -> None:
    model = locate_model(TorchPrmConfig(model=str(build_prm("qwen", tmp_path / "qwen"))))
    check_weights(model, None, unwraps=False)
    rewrite(model.folder, without("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(EngineUnavailable, match="lacks layers.1.mlp.up_proj.weight"):
        check_weights(locate_model(TorchPrmConfig(model=str(model.folder))), None, unwraps=False)


async def no_start(*_: Any, **__: Any) -> None:
    pytest.fail("the engine was started")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("model.layers.1.mlp.up_proj.weight"), "lacks layers.1.mlp.up_proj.weight"),
        (without("lm_head.weight"), "lacks lm_head.weight"),
        (
            renamed(lambda name: f"pretrained_model.{name}"),
            r"are a wrapper's \(pretrained_model\..*which only PRMs in torch may have",
        ),
    ],
)
async def test_vllm_is_not_started_where_weights_are_missing_or_misnamed(
    change: Callable[[Weights], Weights], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_policy.VllmCopies, "start", no_start)
    monkeypatch.setattr(vllm_prm.VllmCopies, "start", no_start)
    folder = rewrite(build_prm("verifier", tmp_path / "tiny"), change)
    with pytest.raises(EngineUnavailable, match=told):
        await open_policy(VllmPolicyConfig(model=str(folder)))
    with pytest.raises(EngineUnavailable, match=told):
        await open_prm(VllmPrmConfig(model=str(folder), family="verifier"))


def in_shards(folder: Path, suffix: str) -> dict[str, str]:
    """Two files and their index in place of the one; which weight lies where."""
    weights = tensors(folder)
    (folder / "model.safetensors").unlink()
    base = "model" if suffix == "safetensors" else "pytorch_model"
    names = [f"{base}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    where = {name: names[place % 2] for place, name in enumerate(sorted(weights))}
    for file in names:
        part = {name: weights[name].clone() for name, place in where.items() if place == file}
        save_file(part, folder / file) if suffix == "safetensors" else torch.save(part, folder / file)
    (folder / f"{base}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
async def test_a_checkpoint_in_parts_is_whole_with_all_of_them(suffix: str, tmp_path: Path) -> None:
    folder = build_prm("skywork", tmp_path / "skywork")
    expected = await scores(folder, "skywork")
    where = in_shards(folder, suffix)
    assert await scores(folder, "skywork") == expected
    lost = where["model.norm.weight"]
    (folder / lost).unlink()
    with pytest.raises(EngineUnavailable, match=f"lacks {lost}, which its .*index.json lists"):
        await scores(folder, "skywork")


async def test_a_torn_file_of_torchs_own_is_named(tmp_path: Path) -> None:
    folder = build_prm("skywork", tmp_path / "skywork")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(EngineUnavailable, match=r"pytorch_model.bin is not a complete torch file"):
        await scores(folder, "skywork")


def test_a_folder_of_gguf_files_says_what_to_do_with_them(tmp_path: Path) -> None:
    folder = build_prm("verifier", tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "model.gguf")
    with pytest.raises(EngineUnavailable, match="only GGUF files, which a server may serve"):
        identify(VllmPolicyConfig(model=str(folder)))


@pytest.mark.parametrize("lost", [None, "model.layers.0.mlp.experts.1.gate_proj.weight"])
def test_experts_are_counted_one_by_one(lost: str | None, tmp_path: Path) -> None:
    """Of mixtures of experts transformers fuses the stored weights."""
    sizes = {"hidden_size": 32, "moe_intermediate_size": 16, "intermediate_size": 32, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_experts": 4, "num_experts_per_tok": 2}
    Qwen3MoeForCausalLM(Qwen3MoeConfig(vocab_size=50, num_hidden_layers=2, **sizes, **heads)).save_pretrained(tmp_path)
    rewrite(tmp_path, without(lost or ""))
    model = locate_model(VllmPolicyConfig(model=str(tmp_path)))
    if lost is None:
        check_weights(model, LANGUAGE_MODEL, unwraps=False)
        return
    with pytest.raises(EngineUnavailable, match=r"do not fit|lacks"):
        check_weights(model, LANGUAGE_MODEL, unwraps=False)


@pytest.mark.parametrize("whole", [True, False])
def test_of_quantised_weights_the_modules_are_told(whole: bool, tmp_path: Path) -> None:
    folder = build_prm("verifier", tmp_path / "quantised")
    lost = "" if whole else "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, without(lost))
    rewrite(folder, renamed(lambda name: name.replace("proj.weight", "proj.qweight")))
    config = json.loads((folder / "config.json").read_text())
    settings = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    model = locate_model(VllmPolicyConfig(model=str(folder)))
    if whole:
        check_weights(model, LANGUAGE_MODEL, unwraps=False)
        return
    with pytest.raises(EngineUnavailable, match=r"lacks layers.1.mlp.up_proj: "):
        check_weights(model, LANGUAGE_MODEL, unwraps=False)


def bare_checkpoint(folder: Path) -> tuple[Path, Path, Path]:
    """PQM's way: a base, a checkpoint with one token more and no files beside its weights, and the two as one model."""
    base, bare, whole = build_prm(PQM, folder / "base"), folder / "bare", folder / "whole"
    tokenizer = (base / "tokenizer.json").read_text()
    (base / "tokenizer.json").write_text(tokenizer.replace("[PRM]", "[OLD]"))

    def with_a_row(weights: Weights) -> Weights:
        return {
            name: torch.cat([tensor, torch.randn(1, 64)]) if "embed" in name or "lm_head" in name else tensor
            for name, tensor in weights.items()
        }

    shutil.copytree(base, whole)
    rewrite(whole, with_a_row)
    config = AutoConfig.from_pretrained(whole)
    config.vocab_size += 1
    config.save_pretrained(whole)
    tokens = AutoTokenizer.from_pretrained(whole)
    tokens.add_special_tokens({"additional_special_tokens": ["[PRM]"]})
    tokens.save_pretrained(whole)
    bare.mkdir()
    shutil.copy(whole / "model.safetensors", bare)
    rewrite(bare, renamed(lambda name: name if name.startswith("v_head") else f"pretrained_model.{name}"))
    return base, bare, whole


async def test_a_checkpoint_without_a_configuration_takes_its_bases(tmp_path: Path) -> None:
    base, bare, whole = bare_checkpoint(tmp_path)
    assert await scores(bare, PQM, base=str(base)) == await scores(whole, PQM)
    with pytest.raises(EngineUnavailable, match="no readable config.json: .*name a PRM's `base`"):
        await scores(bare, PQM)


def test_what_comes_from_a_base_is_in_the_key_and_an_idle_base_is_not(tmp_path: Path) -> None:
    base, bare, whole = bare_checkpoint(tmp_path)

    def key(folder: Path, **settings: Any) -> str:
        return identify(TorchPrmConfig(model=str(folder), family=PQM, **settings)).address.partition("@")[2]

    assert key(whole, base=str(base)) == key(whole)
    before = key(bare, base=str(base))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-4}))
    assert key(bare, base=str(base)) != before


async def test_vllm_takes_nothing_from_a_base(tmp_path: Path) -> None:
    base, bare, _ = bare_checkpoint(tmp_path)
    config = VllmPrmConfig(model=str(bare), family="er-prm", base=str(base))
    with pytest.raises(EngineUnavailable, match=r"vLLM reads nothing from a `base`.*set engine: torch"):
        await open_prm(config)
