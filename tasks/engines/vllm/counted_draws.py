"""RequestDraws on a CPU whose noise depends on the request's seed and on the place alone, with their log-probabilities.

vLLM asks a generator of each request for the noise of each token, and hands log-probabilities on through its scheduler
and its output processor one by one: 16 % of a small model's speed. Here the seeds of a step's rows are hashed in one
go, and what was drawn is kept where it is drawn. A request that vLLM preempts goes on with the noise of its next place.
They take the place of vLLM's own in the process of an engine whose core is that same process.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

ASKED = "overthink_draws"  # in the extra arguments of vLLM's SamplingParams: number, seed, likeliest tokens wanted
_EVEN_STEPS = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64 (Steele, Lea, Flood 2014): the weyl sequence and its mixing
_MIXERS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


@dataclass
class RequestDraws:
    """What one request draws: `tokens` is vLLM's own list, which grows.

    `logprobs` has the natural-log probability of each drawn token, `likeliest` those of the `top` likeliest tokens.
    """

    seed: int
    top: int
    tokens: Sequence[int]
    logprobs: list[float] = field(default_factory=list)
    likeliest: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def keep(self, logprob: float, likeliest: npt.NDArray[np.float32] | None) -> None:
        """Keep what the step draws for the place after `tokens`; a draw that vLLM discarded is replaced."""
        place = len(self.tokens)
        self.logprobs[place:] = [logprob]
        if likeliest is not None:
            self.likeliest[place:] = [likeliest[: self.top]]

    def get_offset(self) -> int:
        """0: it stands where vLLM has a generator, which it turns back after a draw that it discards."""
        return 0

    def set_offset(self, offset: int) -> None:
        """Nothing to turn back: the noise depends on the place."""


class CountedDraws:
    """The draws of all requests in an engine of this process."""

    def __init__(self) -> None:
        self._asked: dict[int, RequestDraws] = {}

    def begin(self, wanted: tuple[int, int, int], tokens: Sequence[int]) -> RequestDraws:
        """The draws of a request that enters the batch, also of one that comes back to it."""
        number, seed, top = wanted
        draws = self._asked.setdefault(number, RequestDraws(seed, top, tokens))
        draws.tokens = tokens
        return draws

    def take(self, number: int) -> RequestDraws:
        """What a finished request drew; it is forgotten. One that never came into the batch drew nothing."""
        return self._asked.pop(number, None) or RequestDraws(0, 0, ())


def use_counted_draws() -> CountedDraws | None:
    """Put them in the place of vLLM's sampler before an engine is made; None where this vLLM has no such kernel."""
    torch = importlib.import_module("torch")
    importlib.import_module("vllm.platforms").current_platform.import_kernels()
    if not hasattr(torch.ops._C, "fused_gumbel_argmax"):
        return None
    runner, filters = (
        importlib.import_module(name)
        for name in ("vllm.v1.worker.gpu_model_runner", "vllm.v1.sample.ops.topk_topp_sampler")
    )
    counted = CountedDraws()
    runner.InputBatch = _batch(runner.InputBatch, counted)  # type: ignore[attr-defined]
    runner.Sampler = _sampler(runner.Sampler, torch, filters.apply_top_k_top_p)  # type: ignore[attr-defined]
    return counted


def _batch(full: Any, counted: CountedDraws) -> Any:
    class CountedBatch(full):  # type: ignore[misc]
        def add_request(self, request: Any) -> int:
            row: int = super().add_request(request)
            wanted = request.sampling_params and (request.sampling_params.extra_args or {}).get(ASKED)
            if wanted:
                self.generators[row] = counted.begin(wanted, request.output_token_ids)  # vLLM moves it with its row
            return row

    return CountedBatch


def _sampler(full: Any, torch: Any, filtered: Callable[[Any, Any, Any], Any]) -> Any:
    class CountedSampler(full):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self.topk_topp_sampler.forward = self.draw

        def draw(self, logits: Any, rows: Mapping[int, RequestDraws], top_k: Any, top_p: Any) -> tuple[Any, None]:
            logits = filtered(logits, top_k, top_p).to(torch.float32)
            return torch.ops._C.fused_gumbel_argmax(logits, torch.from_numpy(noise_seeds(rows, len(logits)))), None

        def forward(self, logits: Any, sampling_metadata: Any, *arguments: Any, **settings: Any) -> Any:
            # Of the policy's own distribution: what follows divides the logits by the temperature, in place.
            logprobs = logits.log_softmax(dim=-1, dtype=torch.float32)
            output = super().forward(logits, sampling_metadata, *arguments, **settings)
            drawn = logprobs.gather(-1, output.sampled_token_ids.long()).squeeze(-1).tolist()
            rows: Mapping[int, RequestDraws] = sampling_metadata.generators
            top = max((draws.top for draws in rows.values()), default=0)
            likeliest = torch.topk(logprobs, top, dim=-1).values.numpy() if top else [None] * len(drawn)
            for row, draws in rows.items():
                draws.keep(drawn[row], likeliest[row])
            return output

    return CountedSampler


def noise_seeds(rows: Mapping[int, RequestDraws], count: int) -> npt.NDArray[np.int64]:
    """For each row of a step, from 0 to 2^63 - 1, a hash of its request's seed and its place."""
    seeds, places = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    at = list(rows)
    seeds[at] = [draws.seed for draws in rows.values()]
    places[at] = [1 + len(draws.tokens) for draws in rows.values()]
    return (_mixed(_mixed(seeds) + places * _EVEN_STEPS) >> np.uint64(1)).astype(np.int64)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    for shift, factor in _MIXERS:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))
