"""Engines that cannot be loaded, that die, or that answer nonsense: each a clear error, never a made-up score."""

import asyncio
import gc
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from overthink.tasks.engines.engine_config import (
    FakePolicyConfig,
    Placement,
    TorchPrmConfig,
    VllmPolicyConfig,
    VllmPrmConfig,
)
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.models import locate_model, require
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.engines.vllm.settings import engine_arguments, engine_environment, shares_cores
from overthink.tasks.errors import BadReply, EngineUnavailable
from overthink.tasks.records import Sampling, Scores
from overthink.tasks.stages.driver import check_scores

ZOO = Path(__file__).parents[1] / "zoo"


async def test_a_missing_zoo_model_names_the_one_perhaps_meant_or_all() -> None:
    with pytest.raises(EngineUnavailable, match="did you mean abacus-5m"):
        await open_policy(VllmPolicyConfig(model="zoo/abacus-9b"))
    with pytest.raises(EngineUnavailable, match="abacus-1m, abacus-5m, abacus-code"):
        await open_policy(VllmPolicyConfig(model="zoo/llama"))


async def test_a_missing_folder_says_where_it_looked() -> None:
    with pytest.raises(EngineUnavailable, match=r"/nowhere/model: point `model`"):
        await open_policy(VllmPolicyConfig(model="/nowhere/model"))


async def test_a_hub_model_without_network_says_how_to_go_on() -> None:
    with pytest.raises(EngineUnavailable, match="download it and point `model` to the folder"):
        await open_policy(VllmPolicyConfig(model="nobody/nothing"))


def test_a_missing_package_says_how_to_install_it() -> None:
    with pytest.raises(EngineUnavailable, match="pip install it"):
        require("no_such_package_here", "pip install it")


async def test_a_policy_is_no_prm() -> None:
    for config in (TorchPrmConfig(model="zoo/abacus-1m"), VllmPrmConfig(model="zoo/abacus-1m")):
        with pytest.raises(EngineUnavailable, match="Qwen2ForCausalLM"):
            await open_prm(config)


async def test_torch_prm_without_its_head_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "headless"
    shutil.copytree(ZOO / "abacus-1m", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["Qwen2ForProcessRewardModel"]}))
    with pytest.raises(EngineUnavailable, match=r"score\.0\.weight"):
        await open_prm(TorchPrmConfig(model=str(folder)))


async def test_a_torch_prm_prompt_over_the_limit_names_the_limit() -> None:
    prm = await open_prm(TorchPrmConfig(model="zoo/abacus-prm", max_model_len=16))
    with pytest.raises(BadReply, match="its limit is 16"):
        await prm.score("Take 20, plus 11. What is the result?", ("20+11=31",), 0)


@pytest.mark.engine
async def test_vllm_says_what_it_cannot_load() -> None:
    with pytest.raises(EngineUnavailable, match="vLLM cannot load"):
        await open_policy(VllmPolicyConfig(model="zoo/abacus-1m", max_model_len=1_000_000))


async def test_weights_that_are_none_are_named_before_vllm_is_started(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(ZOO / "abacus-1m", folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(EngineUnavailable, match="is no whole safetensors file"):
        await open_policy(VllmPolicyConfig(model=str(folder), max_model_len=512))


@pytest.mark.engine
async def test_a_prompt_too_long_for_vllm_is_a_bad_reply_and_the_engine_lives_on(forked_engines: None) -> None:
    policy = await open_policy(VllmPolicyConfig(model="zoo/abacus-1m", max_model_len=64))
    with pytest.raises(BadReply, match="refused"):
        await policy.generate("9" * 400, (), Sampling(1.0, 1.0, 8), seed=0)
    assert (await policy.generate("1", (), Sampling(1.0, 1.0, 8), seed=0)).tokens
    await policy.close()


async def test_a_slot_loads_once_and_again_after_a_death() -> None:
    opened: list[object] = []

    async def opener(config: FakePolicyConfig) -> Any:
        opened.append(config)
        return await open_policy(config)

    slot: EngineSlot[Any] = EngineSlot(FakePolicyConfig(), opener)
    first, same = await asyncio.gather(slot.get(), slot.get())
    assert first is same
    await asyncio.gather(slot.discard(first), slot.discard(first))
    assert await slot.get() is not first
    assert len(opened) == 2


async def test_what_an_engine_brought_with_it_is_not_collected_again() -> None:
    gc.unfreeze()
    slot: EngineSlot[Any] = EngineSlot(FakePolicyConfig(), open_policy)
    engine = await slot.get()
    assert gc.get_freeze_count() > 10_000
    assert not any(engine is each for each in gc.get_objects())


@pytest.mark.parametrize(
    "values", [(0.5,), (0.5, 0.5, 0.5), (0.5, math.nan), (0.5, math.inf), (-0.1, 0.5), (0.5, 1.01)]
)
def test_scores_that_no_model_should_give_are_errors_with_problem_and_prm(values: tuple[float, ...]) -> None:
    with pytest.raises(BadReply, match=r"PRM my-prm .* problem p7"):
        check_scores(Scores(values, 1), 2, "p7", "my-prm")


def test_on_gpus_each_copy_gets_its_own_ids_and_share() -> None:
    placement = Placement(gpus=(4, 5, 6, 7), tensor_parallel=2, data_parallel=2, gpu_memory=0.45)
    config = VllmPolicyConfig(model="zoo/abacus-1m", placement=placement)
    model = locate_model(config)
    first, second = (engine_arguments(config, model, copy, has_gpu=True) for copy in (0, 1))
    assert (first["device_ids"], second["device_ids"]) == ([4, 5], [6, 7])
    assert first["tensor_parallel_size"] == 2
    assert first["gpu_memory_utilization"] == 0.45
    assert "enforce_eager" not in first
    assert engine_environment(config, has_gpu=True)["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"


def test_policy_and_prm_can_share_one_gpu() -> None:
    shared = Placement(gpus=(0,), gpu_memory=0.3)
    policy = VllmPolicyConfig(model="zoo/abacus-1m", placement=shared)
    prm = VllmPrmConfig(model="zoo/abacus-prm", placement=Placement(gpus=(0,), gpu_memory=0.6))
    arguments = [engine_arguments(config, locate_model(config), 0, has_gpu=True) for config in (policy, prm)]
    assert [each["device_ids"] for each in arguments] == [[0], [0]]
    assert sum(each["gpu_memory_utilization"] for each in arguments) == pytest.approx(0.9)


def test_on_a_cpu_prefills_are_never_split() -> None:
    config = VllmPolicyConfig(model="zoo/abacus-1m", max_model_len=512)
    arguments = engine_arguments(config, locate_model(config), 0, has_gpu=False)
    assert arguments["enable_chunked_prefill"] is False
    assert arguments["max_num_batched_tokens"] >= 512
    assert "device_ids" not in arguments
    assert engine_environment(config, has_gpu=False)["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_on_a_cpu_engines_share_all_cores_unless_somebody_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    config = VllmPolicyConfig(model="zoo/abacus-1m", placement=Placement(data_parallel=4))
    assert engine_environment(config, has_gpu=False)["OMP_NUM_THREADS"] == "16"
    assert shares_cores(has_gpu=False)
    assert not shares_cores(has_gpu=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in engine_environment(config, has_gpu=False)
    assert not shares_cores(has_gpu=False)
