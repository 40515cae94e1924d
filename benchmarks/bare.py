"""`vllm.LLM`, as a user would call it by hand: the limit that Overthink is measured against."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import vllm

from overthink.tasks.engines.engine_config import VllmModelConfig
from overthink.tasks.engines.models import locate_model
from overthink.tasks.engines.vllm.loop import vllm_arguments
from overthink.tasks.engines.vllm.settings import engine_arguments, engine_environment, gpu_is_there


def bare_llm(config: VllmModelConfig, extra: Mapping[str, Any]) -> vllm.LLM:
    """One `vllm.LLM` with the engine settings of a recipe's model, and none of our code between it and its caller."""
    has_gpu = gpu_is_there()
    environment = engine_environment(config, has_gpu)
    environment.pop("OMP_NUM_THREADS", None)  # alone on the machine it has all cores
    os.environ.update(environment)
    settings = {**engine_arguments(config, locate_model(config), 0, has_gpu), **extra}
    return vllm.LLM(**vllm_arguments(settings))


class BareEngine:
    """A bare `vllm.LLM` and a clock."""

    def __init__(self, config: VllmModelConfig, extra: Mapping[str, Any]) -> None:
        self._llm = bare_llm(config, extra)

    def generate(self, prompts: Sequence[list[int]], parameters: Sequence[vllm.SamplingParams]) -> tuple[int, float]:
        """Tokens written and seconds taken, all requests handed over at once."""
        requests = [vllm.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        begin = time.perf_counter()
        outputs = self._llm.generate(requests, list(parameters), use_tqdm=False)
        seconds = time.perf_counter() - begin
        return sum(len(output.outputs[0].token_ids) for output in outputs), seconds

    def score(self, prompts: Sequence[list[int]]) -> float:
        """Seconds for a PRM to read prompts, all handed over at once; prefixes may come from the cache."""
        requests = [vllm.TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
        parameters = vllm.PoolingParams(task="token_classify", skip_reading_prefix_cache=False)
        begin = time.perf_counter()
        self._llm.encode(requests, parameters, pooling_task="token_classify", use_tqdm=False)
        return time.perf_counter() - begin
