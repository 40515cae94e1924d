"""Which policy and PRM fit on a card together, by arithmetic: computed, not measured.

A model takes its parameters × bytes, a key-value cache of 2 × layers × key-value heads × head size × 2 bytes a token,
and OVERHEAD_GIB for activations and CUDA graphs. The PRM gets LEAST_TOKENS of cache, the policy what is left.

    python -m benchmarks.gpu_memory
"""

import math
from dataclasses import dataclass

GIB = 2**30
OVERHEAD_GIB = 1.5
LEAST_TOKENS = 16_384  # four prompts of a PRM at 4,096, eight sequences of a policy at 2,048
SEQUENCE = 2_048  # tokens
TOGETHER = 0.92  # of a card, for both
CARDS = {24: 22.5, 48: 44.5, 80: 79.0}  # GiB that the least of the cards sold as so many GB show


@dataclass(frozen=True)
class Model:
    """A model as its config.json says: billions of parameters, and the shape of its key-value cache."""

    name: str
    billions: float
    layers: int
    heads: int
    head_size: int
    weight_bytes: float = 2

    @property
    def weights(self) -> float:
        """GiB."""
        return self.billions * 1e9 * self.weight_bytes / GIB

    def cache(self, tokens: float) -> float:
        """GiB of so many tokens, in 16 bits."""
        return tokens * 2 * self.layers * self.heads * self.head_size * 2 / GIB

    @property
    def least(self) -> float:
        """GiB without which it does not run well."""
        return self.weights + OVERHEAD_GIB + self.cache(LEAST_TOKENS)

    def sequences(self, gib: float) -> int:
        """How many sequences its cache holds, given so much memory."""
        return int((gib - self.weights - OVERHEAD_GIB) / self.cache(SEQUENCE))


PRM_7B = Model("Qwen2.5-Math-PRM-7B", 7.08, 28, 4, 128)
PRM_7B_FP8 = Model("Qwen2.5-Math-PRM-7B in FP8", 7.08, 28, 4, 128, 1)
PRM_8B = Model("Llama3.1-8B-PRM", 8.03, 32, 8, 128)
POLICIES = (
    Model("Qwen2.5-0.5B", 0.49, 24, 2, 64),
    Model("Llama-3.2-1B", 1.24, 16, 8, 64),
    Model("Qwen2.5-1.5B", 1.54, 28, 2, 128),
    Model("Qwen2.5-3B", 3.09, 36, 2, 128),
    Model("Qwen2.5-7B", 7.62, 28, 4, 128),
    Model("Qwen2.5-14B", 14.77, 48, 8, 128),
    Model("Qwen2.5-32B", 32.76, 64, 8, 128),
)
PRMS = (PRM_7B, PRM_7B_FP8, PRM_8B)


def shares(policy: Model, prm: Model, card_gib: float) -> tuple[float, float, int] | None:
    """`placement.gpu_memory` of both, loaded at once, and the policy's sequences; None where they do not fit."""
    of_prm = math.ceil(100 * prm.least / card_gib) / 100
    of_policy = math.floor(100 * (TOGETHER - of_prm) + 1e-9) / 100
    if of_policy * card_gib < policy.least:
        return None
    return of_policy, of_prm, policy.sequences(of_policy * card_gib)


def cell(policy: Model, prm: Model, card_gib: float) -> str:
    """What a table says of a pair on a card."""
    found = shares(policy, prm, card_gib)
    if found is not None:
        return f"{found[0]:.2f} + {found[1]:.2f}, {found[2]}"
    return "in turn" if max(policy.least, prm.least) <= 0.9 * card_gib else "no"


def table() -> str:
    """The table in Markdown."""
    lines = ["| policy | PRM | " + " | ".join(f"{card} GB" for card in CARDS) + " |", "|---|---|" + "---|" * len(CARDS)]
    for policy in POLICIES:
        for prm in PRMS:
            cells = " | ".join(cell(policy, prm, gib) for gib in CARDS.values())
            lines.append(f"| {policy.name} | {prm.name} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
