"""`engine_args` and `lora` of a recipe: what is passed on to vLLM, what is refused, and in which keys it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from plans import build_model
from pydantic import ValidationError
from safetensors.torch import save_file

from overthink.tasks.engines.engine_config import VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.registry import identify
from overthink.tasks.engines.vllm import engine_args
from overthink.tasks.engines.vllm.engine_args import OURS, SAME_OUTPUTS, known_arguments
from overthink.tasks.engines.vllm.settings import engine_arguments, with_further
from overthink.tasks.errors import EngineUnavailable


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_model(tmp_path_factory.mktemp("model") / "model"))


def policy(model: str, **arguments: Any) -> VllmPolicyConfig:
    return VllmPolicyConfig(model=model, engine_args=arguments)


@pytest.mark.engine
def test_every_name_that_we_know_is_one_of_the_installed_vllm() -> None:
    known = known_arguments()
    assert known is not None
    assert known >= OURS.keys() | SAME_OUTPUTS
    assert not OURS.keys() & SAME_OUTPUTS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_num_seqs", "max_num_seqs is set by Overthink: name it as `placement.max_in_flight`"),
        ("logits_processors", "a recipe runs no code by its name"),
        ("quantisation", r"quantisation is no engine argument of the installed vLLM: did you mean quantization\?"),
        ("zzz", "zzz is no engine argument of the installed vLLM: see `vllm serve --help`"),
    ],
)
@pytest.mark.engine
def test_what_is_not_passed_on_is_refused_with_the_remedy(name: str, message: str) -> None:
    for kind in (VllmPolicyConfig, VllmPrmConfig):
        with pytest.raises(ValidationError, match=message):
            kind(model="m", engine_args={name: 1})


def test_overrides_of_the_configuration_are_a_mapping() -> None:
    with pytest.raises(ValidationError, match="hf_overrides is a mapping of the model's configuration"):
        policy("m", hf_overrides="package.function")


def test_without_vllm_names_are_left_to_the_machine_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_args, "known_arguments", lambda: None)
    assert policy("m", zzz=1).engine_args == {"zzz": 1}


def test_what_changes_outputs_is_in_the_key_and_what_does_not_is_not(model: str) -> None:
    plain = identify(policy(model)).determinants
    assert "engine_args" not in plain
    assert identify(policy(model, max_num_batched_tokens=4096, enforce_eager=True)).determinants == plain
    changed = identify(policy(model, kv_cache_dtype="fp8", enforce_eager=True)).determinants
    assert changed == plain | {"engine_args": {"kv_cache_dtype": "fp8"}}


def test_they_go_before_our_own_choice_for_the_machine(model: str) -> None:
    config = policy(model, block_size=64, hf_overrides={"rope_parameters": {"rope_theta": 5.0}})
    for has_gpu in (False, True):
        arguments = engine_arguments(config, locate_model(config), 0, has_gpu)
        assert arguments["block_size"] == 64
        further = with_further(arguments, {"runner": "pooling", "hf_overrides": {"num_labels": 2}})
        assert further["hf_overrides"] == {"rope_parameters": {"rope_theta": 5.0}, "num_labels": 2}
        assert further["runner"] == "pooling"


def adapter(folder: Path, rank: int = 4, value: float = 0.5) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    save_file({"a": torch.full((2, 2), value)}, folder / "adapter_model.safetensors")
    return str(folder)


def test_an_adapter_is_in_the_key_by_its_content_and_not_by_its_place(model: str, tmp_path: Path) -> None:
    def key(lora: str | None) -> dict[str, Any]:
        return identify(VllmPolicyConfig(model=model, lora=lora)).determinants

    first, same = adapter(tmp_path / "first"), adapter(tmp_path / "same")
    assert key(first) == key(same) == key(None) | {"lora": key(first)["lora"]}
    assert key(adapter(tmp_path / "weights", value=0.25)) != key(first) != key(adapter(tmp_path / "rank", rank=8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [(None, "is no adapter's configuration"), ("{}", "'r'"), ('{"r": 1024}', "rank 1024, more than the 512")],
)
def test_a_folder_that_is_no_adapter_is_told(settings: str | None, message: str, model: str, tmp_path: Path) -> None:
    if settings is not None:
        (tmp_path / "adapter_config.json").write_text(settings)
    with pytest.raises(EngineUnavailable, match=message):
        identify(VllmPolicyConfig(model=model, lora=str(tmp_path)))
