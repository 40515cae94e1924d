"""What a vLLM engine is asked, and what is kept of its answers: plain values, which go from process to process."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from overthink.tasks.engines.models import require
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.token_signals import token_signals
from overthink.tasks.engines.vllm.counted_draws import ASKED, RequestDraws
from overthink.tasks.records import Sampling

INSTALL = "pip install 'overthink[gpu]', or `make install` for the CPU environment"


AS_VLLM_HAS_IT = (
    *("temperature", "top_p", "max_tokens", "top_k", "min_p"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
)


@dataclass(frozen=True)
class Write:
    """Go on from token ids, to one of `stop_ids` or one of the sampling's stop strings; without a seed, by chance."""

    ids: list[int]
    sampling: Sampling
    stop_ids: list[int]
    seed: int | None
    lora: str | None = None

    def adapter(self) -> Any:
        """vLLM's LoRARequest for the adapter in the folder `lora`; None without one."""
        if self.lora is None:
            return None
        return require("vllm.lora.request", INSTALL).LoRARequest("adapter", 1, self.lora)

    def parameters(self) -> Any:
        """vLLM's SamplingParams, with seed and log-probabilities as vLLM has them."""
        return self._parameters(seed=self.seed, logprobs=self.sampling.top_logprobs, flat_logprobs=True)

    def counted_parameters(self, number: int) -> Any:
        """vLLM's SamplingParams for a request whose draws are counted: see `CountedDraws`."""
        seed = secrets.randbits(31) if self.seed is None else self.seed
        return self._parameters(extra_args={ASKED: (number, seed, self.sampling.top_logprobs)})

    def _parameters(self, **further: Any) -> Any:
        vllm = require("vllm.sampling_params", INSTALL)
        return vllm.SamplingParams(
            **{name: getattr(self.sampling, name) for name in AS_VLLM_HAS_IT},
            repetition_detection=_loops(vllm, self.sampling.repetition),
            stop_token_ids=self.stop_ids,
            allowed_token_ids=list(self.sampling.only) or None,
            stop=list(self.sampling.stop),
            detokenize=bool(self.sampling.stop),  # only to find a stop string
            output_kind=vllm.RequestOutputKind.FINAL_ONLY,
            **further,
        )

    def answer(self, output: Any) -> WrittenText:
        """What was written, of vLLM's finished output."""
        width = 1 + self.sampling.top_logprobs  # at each place the drawn token comes first, and once more in its rank
        found = output.outputs[0].logprobs
        logprobs = [] if found is None else found.logprobs
        top = np.asarray(logprobs, dtype=np.float64).reshape(-1, width)[:, 1:]
        return self._written(output, list(logprobs[::width]), top)

    def counted_answer(self, output: Any, draws: RequestDraws) -> WrittenText:
        """What was written, of vLLM's finished output and the request's draws."""
        return self._written(output, draws.logprobs, np.asarray(draws.likeliest, dtype=np.float64))

    def _written(self, output: Any, logprobs: list[float], top: npt.NDArray[np.float64]) -> WrittenText:
        completion = output.outputs[0]
        written = list(completion.token_ids), logprobs, completion.finish_reason, output.num_cached_tokens
        return WrittenText(*written, *token_signals(top)) if self.sampling.top_logprobs else WrittenText(*written)


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
