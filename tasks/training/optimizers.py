"""The optimizers of the weights, and the learning rate's schedule."""

import math
from collections.abc import Iterable

import torch

WARM_UP = 100


def optimizers_of(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], learning_rate: float
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside layers, AdamW for embeddings and vectors."""
    learned = [(name, weight) for name, weight in parameters if weight.requires_grad]
    matrices = [weight for name, weight in learned if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in learned if weight.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def warm_cosine(update: int, updates: int) -> float:
    """The learning rate's factor in [0.02, 1] at one update: a linear warm-up, then a cosine."""
    warm_up = min(WARM_UP, updates // 4)
    if update < warm_up:
        return (update + 1) / warm_up
    progress = (update - warm_up) / max(1, updates - warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
