"""Log-probabilities as vLLM's output processor keeps them, without what nobody here reads.

Its own keeps token id, rank and text beside each of them, one by one in Python, which at 20 likeliest tokens a place
costs a small model a tenth of its speed. It is put in the place of vLLM's in the engine's own process alone.
"""

import importlib
from typing import Any


def use_lean_logprobs() -> None:
    """From now on, requests of this process keep the numbers alone, the drawn token's first at each place."""
    processor = importlib.import_module("vllm.v1.engine.output_processor")
    processor.LogprobsProcessor = lean(processor.LogprobsProcessor)  # type: ignore[attr-defined]


def lean(full: Any) -> Any:
    """vLLM's class, of which `_update_sample_logprobs` is called with what one step wrote of one request."""

    class LeanLogprobs(full):  # type: ignore[misc]
        def _update_sample_logprobs(self, logprobs_lists: Any) -> None:
            width = 1 + self.num_logprobs  # rows are as wide as the widest request of the step
            for row in logprobs_lists.logprobs:
                values = row[:width].tolist()
                self.cumulative_logprob += values[0]
                self.logprobs.logprobs += values

    return LeanLogprobs
