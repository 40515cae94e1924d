"""How a policy in vLLM is told to draw tokens, in our process or in a server."""

from typing import Any

from tasks.engines.models import require
from tasks.engines.vllm_loop import INSTALL
from tasks.records import Sampling


def sampling_parameters(sampling: Sampling, stop_ids: list[int], seed: int) -> Any:
    """vLLM's SamplingParams: to one of `stop_ids`, or where there are none to one of the sampling's stop strings."""
    vllm = require("vllm.sampling_params", INSTALL)
    return vllm.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop_token_ids=stop_ids,
        stop=[] if stop_ids else list(sampling.stop),
        seed=seed,
        logprobs=0,
        flat_logprobs=True,
        detokenize=bool(sampling.stop) and not stop_ids,  # vLLM reads along only to find a stop string
        output_kind=vllm.RequestOutputKind.FINAL_ONLY,
    )
