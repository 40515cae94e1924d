"""What a vLLM engine is asked, and what is kept of its answers: plain values, which go from process to process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overthink.tasks.engines.models import require
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.token_signals import token_signals
from overthink.tasks.records import Sampling

INSTALL = "pip install 'overthink[gpu]', or `make install` for the CPU environment"


AS_VLLM_HAS_IT = (
    *("temperature", "top_p", "max_tokens", "top_k", "min_p"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
)


@dataclass(frozen=True)
class Write:
    """Go on from token ids, to one of `stop_ids` or one of the sampling's stop strings."""

    ids: list[int]
    sampling: Sampling
    stop_ids: list[int]
    seed: int
    lora: str | None = None

    def adapter(self) -> Any:
        """vLLM's LoRARequest for the adapter in the folder `lora`; None without one."""
        if self.lora is None:
            return None
        return require("vllm.lora.request", INSTALL).LoRARequest("adapter", 1, self.lora)

    def parameters(self) -> Any:
        """vLLM's SamplingParams."""
        vllm = require("vllm.sampling_params", INSTALL)
        return vllm.SamplingParams(
            **{name: getattr(self.sampling, name) for name in AS_VLLM_HAS_IT},
            repetition_detection=_loops(vllm, self.sampling.repetition),
            stop_token_ids=self.stop_ids,
            stop=list(self.sampling.stop),
            seed=self.seed,
            logprobs=self.sampling.top_logprobs,
            flat_logprobs=True,
            detokenize=bool(self.sampling.stop),  # only to find a stop string
            output_kind=vllm.RequestOutputKind.FINAL_ONLY,
        )

    def answer(self, output: Any) -> WrittenText:
        """What was written, of vLLM's finished output."""
        completion = output.outputs[0]
        width = 1 + self.sampling.top_logprobs  # at each place the drawn token comes first, and once more in its rank
        logprobs = [] if completion.logprobs is None else completion.logprobs.logprobs
        written = list(completion.token_ids), list(logprobs[::width]), completion.finish_reason
        if width == 1:
            return WrittenText(*written, output.num_cached_tokens)
        top = np.asarray(logprobs, dtype=np.float64).reshape(-1, width)[:, 1:]
        return WrittenText(*written, output.num_cached_tokens, *token_signals(top))


def _loops(vllm: Any, repetition: tuple[int, int, int] | None) -> Any:
    if repetition is None:
        return None
    least, most, count = repetition
    return vllm.RepetitionDetectionParams(min_pattern_size=least, max_pattern_size=most, min_count=count)


@dataclass(frozen=True)
class HeadRows:
    """The head's numbers, 1 or 2, of each wanted place that was computed; `cached` tokens came from the cache."""

    numbers: list[list[float]]
    cached: int


@dataclass(frozen=True)
class ReadPlaces:
    """Read token ids, all of them without `use_cache`; the head's numbers at some places, in order, are wanted."""

    ids: list[int]
    places: Sequence[int]
    use_cache: bool

    def adapter(self) -> None:
        """None: a PRM has no adapter."""

    def parameters(self) -> Any:
        """vLLM's PoolingParams."""
        return require("vllm.pooling_params", INSTALL).PoolingParams(
            task="token_classify", use_activation=False, skip_reading_prefix_cache=not self.use_cache
        )

    def answer(self, output: Any) -> HeadRows:
        """The numbers, of vLLM's finished output, which has rows for the last tokens where a prefix was cached."""
        rows = output.outputs.data.float()
        cached = len(self.ids) - len(rows)
        return HeadRows(rows[[place - cached for place in self.places if place >= cached]].tolist(), cached)
