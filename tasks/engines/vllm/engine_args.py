"""`engine_args` of a recipe: what is passed on to vLLM's EngineArgs, what is not, and what of it changes outputs."""

import ast
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from overthink.tasks.closest import closest

# What Overthink sets itself, and the recipe's key for it or the reason.
OURS = {
    "model": "name it as `model`",
    "model_weights": "name it as `model`",
    "tokenizer": "it is the model's own",
    "tokenizer_revision": "it is the model's own",
    "revision": "name it as `revision`",
    "dtype": "name it as `dtype`",
    "max_model_len": "name it as `max_model_len`",
    "trust_remote_code": "name it as `trust_remote_code`",
    "max_num_seqs": "name it as `placement.max_in_flight`",
    "tensor_parallel_size": "name it as `placement.tensor_parallel`",
    "pipeline_parallel_size": "a copy is spread by `placement.tensor_parallel`",
    "data_parallel_size": "name it as `placement.data_parallel`",
    "gpu_memory_utilization": "name it as `placement.gpu_memory`",
    "kv_cache_memory_bytes": "name it as `placement.gpu_memory` or `placement.cpu_cache_gib`",
    "device_ids": "name it as `placement.gpus`",
    "enable_prefix_caching": "it is always on, since searches go on from prefixes",
    "disable_log_stats": "the engine's log is not shown",
    "max_logprobs": "confidences take 20",
    "logprobs_mode": "log-probabilities are the policy's own, before temperature and top_p",
    "runner": "a policy generates, and a PRM's `family` says how it scores",
    "convert": "a PRM's `family` says how it scores",
    "pooler_config": "a PRM's `family` says how it scores",
    "skip_tokenizer_init": "stop strings need the tokenizer",
    "enable_lora": "name the adapter's folder as `lora`",
    "max_loras": "name the adapter's folder as `lora`",
    "max_lora_rank": "name the adapter's folder as `lora`",
    "logits_processors": "a recipe runs no code by its name",
    "worker_cls": "a recipe runs no code by its name",
    "worker_extension_cls": "a recipe runs no code by its name",
    "scheduler_cls": "a recipe runs no code by its name",
    "model_class_overrides": "a recipe runs no code by its name",
    "io_processor_plugin": "a recipe runs no code by its name",
    "reasoning_parser_plugin": "a recipe runs no code by its name",
    "hf_token": "log in, or set HF_TOKEN: a recipe is stored with its run",
}
# What says how, and not what is computed; all else changes outputs, and is in the keys of what the engine makes.
SAME_OUTPUTS = frozenset(
    {
        "max_num_batched_tokens",
        "max_num_scheduled_tokens",
        "long_prefill_token_threshold",
        "enable_chunked_prefill",
        "enforce_eager",
        "block_size",
        "cudagraph_capture_sizes",
        "max_cudagraph_capture_size",
        "num_gpu_blocks_override",
        "cpu_offload_gb",
        "kv_offloading_size",
        "kv_offloading_backend",
        "distributed_executor_backend",
        "disable_custom_all_reduce",
        "async_scheduling",
        "scheduling_policy",
        "load_format",
        "download_dir",
        "max_parallel_loading_workers",
        "safetensors_load_strategy",
        "numa_bind",
        "numa_bind_nodes",
        "numa_bind_cpus",
        "use_tqdm_on_load",
        "shutdown_timeout",
    }
)


def check_engine_args(arguments: Mapping[str, Any]) -> None:
    """Raise ValueError for what the recipe has a key of its own for, and for what the installed vLLM does not know."""
    known = known_arguments() if arguments else None
    for name in arguments:
        if name in OURS:
            raise ValueError(f"{name} is set by Overthink: {OURS[name]}")
        if known is not None and name not in known:
            close = closest(name, sorted(known - OURS.keys()))
            hint = f"did you mean {close}?" if close else "see `vllm serve --help`"
            raise ValueError(f"{name} is no engine argument of the installed vLLM: {hint}")
    if not isinstance(arguments.get("hf_overrides", {}), Mapping):
        raise ValueError("hf_overrides is a mapping of the model's configuration: write {key: value}")


def changing_outputs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What of it determines what the engine writes or scores."""
    return {name: value for name, value in arguments.items() if name not in SAME_OUTPUTS}


@cache
def known_arguments() -> frozenset[str] | None:
    """The fields of the installed vLLM's EngineArgs; None where there is none.

    They are read, not imported: vLLM takes seconds to import.
    """
    found = find_spec("vllm")
    if found is None or found.origin is None:
        return None
    try:
        source = (Path(found.origin).parent / "engine" / "arg_utils.py").read_text(encoding="utf-8")
    except OSError:  # another version keeps them elsewhere; it says itself what it does not know
        return None
    fields = {
        line.target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
    return frozenset(fields) or None
