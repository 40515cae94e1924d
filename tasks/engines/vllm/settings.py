"""vLLM's settings for an engine and this machine."""

import os
from collections.abc import Mapping
from typing import Any

from overthink.tasks.engines.engine_config import ModelConfig, Placement, VllmModelConfig
from overthink.tasks.engines.models import ModelFiles, require
from overthink.tasks.engines.vllm.messages import INSTALL

CPU_BATCHED_TOKENS = 16_384
CPU_BLOCK_SIZE = 32  # the smallest its kernels are fast with; the default, 128, is longer than a short question


def engine_arguments(config: VllmModelConfig, model: ModelFiles, copy: int, has_gpu: bool) -> dict[str, Any]:
    """What is handed to vLLM's EngineArgs for one copy of the model; a pure function of the recipe."""
    placement = config.placement
    arguments: dict[str, Any] = {
        "model": str(model.folder),
        "dtype": config.dtype,
        "max_model_len": config.max_model_len,
        "trust_remote_code": config.trust_remote_code,
        "enable_prefix_caching": True,
        "max_num_seqs": placement.max_in_flight,
        "tensor_parallel_size": placement.tensor_parallel,
        "disable_log_stats": True,
    }
    if has_gpu:
        arguments["gpu_memory_utilization"] = placement.gpu_memory
        if placement.gpus:
            arguments["device_ids"] = list(gpus_of_copy(placement, copy))
        return arguments | config.engine_args
    # On a CPU a request with its own seed crashes vLLM when its prefill is split.
    on_cpu = {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "block_size": CPU_BLOCK_SIZE,
        "max_num_batched_tokens": max(CPU_BATCHED_TOKENS, config.max_model_len or 0),
        "kv_cache_memory_bytes": placement.cpu_cache_gib * 2**30,
    }
    return arguments | on_cpu | config.engine_args


def with_further(arguments: dict[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with those of an engine's own kind; overrides of the model's configuration are put together."""
    overrides = {**arguments.get("hf_overrides", {}), **further.get("hf_overrides", {})}
    return {**arguments, **further, **({"hf_overrides": overrides} if overrides else {})}


def gpus_of_copy(placement: Placement, copy: int) -> tuple[int, ...]:
    """The GPU ids of one data-parallel copy; empty where the recipe names none."""
    width = placement.tensor_parallel
    return placement.gpus[copy * width : (copy + 1) * width]


def engine_environment(config: ModelConfig, has_gpu: bool) -> dict[str, str]:
    """Environment variables that the process of one copy of the engine starts with.

    On a CPU the engine's core shares that process, which is fastest, and the engines of a command share the cores. On a
    GPU the core has a process of its own, which prepares requests while the GPU computes.
    """
    variables = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1" if has_gpu else "0",
        "VLLM_CPU_KVCACHE_SPACE": str(config.placement.cpu_cache_gib),
    }
    if shares_cores(has_gpu):
        variables["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    return variables


def shares_cores(has_gpu: bool) -> bool:
    """Whether engines take their parts of the machine's cores, as `SharedCores` says: OMP_NUM_THREADS fixes each's."""
    return not has_gpu and "OMP_NUM_THREADS" not in os.environ


def gpu_is_there() -> bool:
    """Whether torch sees a GPU."""
    return gpu_count() > 0


def gpu_count() -> int:
    """How many GPUs torch sees; their ids count from 0."""
    cuda = require("torch", INSTALL).cuda
    return int(cuda.device_count()) if cuda.is_available() else 0
