"""FLOPs of training and inference, and the gains of test-time compute as Liu et al. 2025 define them.

Inference takes 2·N for each token that is computed, N being the parameters of the model that computes it; tokens read
from a prefix cache are not computed. Pre-training takes 6·N·D for D tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal


@dataclass(frozen=True)
class Pretraining:
    """Parameters and tokens of a model's pre-training, and the source of the figures."""

    parameters: float
    tokens: float
    source: str

    @property
    def flops(self) -> float:
        """6·N·D."""
        return 6 * self.parameters * self.tokens


PRETRAINING = {
    "Llama-3.2-3B": Pretraining(3e9, 9e12, "model card of Llama 3.2: up to 9 trillion tokens"),
    "Llama-3.1-405B": Pretraining(405e9, 15e12, "model card of Llama 3.1: over 15 trillion tokens"),
    "DeepSeek-R1-Distill-Qwen-7B": Pretraining(7e9, 18e12, "technical report of Qwen2.5: 18 trillion tokens"),
    # All parameters count, as in Liu et al. 2025, though each token activates only 37e9 of them.
    "DeepSeek-R1": Pretraining(671e9, 14.8e12, "technical report of DeepSeek-V3: 14.8 trillion tokens"),
    "abacus-1m": Pretraining(898_816, 5_793_872, "zoo/policies.py: 700 updates of 64 chains"),
    "abacus-5m": Pretraining(4_913_152, 5_831_300, "zoo/policies.py: 700 updates of 64 chains"),
    "abacus-code": Pretraining(649_856, 5_556_998, "zoo/coding.py: 500 updates of 64 specs"),
}


def inference_flops(parameters: float, tokens: float, cached_tokens: float = 0) -> float:
    """2·N for each of the tokens read and written that did not come from a cache."""
    return 2 * parameters * (tokens - cached_tokens)


def performance_gain(compute_optimal: float, greedy: float) -> float:
    """The relative gain over one greedy solution: 1.546 is a gain of 154.6 %."""
    return (compute_optimal - greedy) / greedy


@dataclass(frozen=True)
class EfficiencyGain:
    """Majority voting's budget divided by the budget of equal accuracy: the ratio itself, or a bound on it.

    ">" where the smallest measured budget is already enough, "<" where the largest is not.
    """

    ratio: float
    bound: Literal["=", ">", "<"]

    def __str__(self) -> str:
        return f"{'' if self.bound == '=' else self.bound + ' '}{self.ratio:.{0 if self.bound == '>' else 1}f}×"


Curve = Sequence[tuple[float, float]]  # (budget, accuracy), by ascending budget


def efficiency_gain(compute_optimal: Curve, majority: Curve) -> EfficiencyGain:
    """The factor by which a smaller budget reaches the peak accuracy of majority voting.

    Between measured budgets the compute-optimal curve is a straight line. Raises ValueError for an empty curve.
    """
    if not compute_optimal or not majority:
        raise ValueError("an efficiency gain needs at least one budget of each curve")
    peak_budget, peak = max(majority, key=lambda point: point[1])  # of several equal ones the first, the cheapest
    smallest, accuracy = compute_optimal[0]
    if accuracy >= peak:
        return EfficiencyGain(peak_budget / smallest, ">")
    for (below, low), (above, high) in pairwise(compute_optimal):
        if high >= peak:
            needed = below + (above - below) * (peak - low) / (high - low)
            return EfficiencyGain(peak_budget / needed, "=")
    return EfficiencyGain(peak_budget / compute_optimal[-1][0], "<")


def matched_inference(size_ratio: float, pretraining_tokens: float, inference_tokens: float) -> float:
    """The factor of inference tokens that a small model may spend for the FLOPs of a model `size_ratio` times larger.

    Both are pre-trained on as many tokens and the larger one writes `inference_tokens` (Snell et al. 2024, section 7).
    """
    return size_ratio + 3 * (pretraining_tokens / inference_tokens) * (size_ratio - 1)
