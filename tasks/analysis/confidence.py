"""How sure a policy was while it wrote, by what was kept of each token (DeepConf, Fu et al. 2025, arXiv 2508.15260)."""

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]  # one number a token
BOTTOM_SHARE = 0.1


def group_means(confidences: Signal, group: int) -> Signal:
    """The mean of each window of `group` tokens, sliding by one; fewer than that, but at least one, are one group."""
    width = min(group, len(confidences))
    sums = np.concatenate(([0.0], np.cumsum(confidences)))
    means: Signal = (sums[width:] - sums[:-width]) / width
    return means


def lowest_group(groups: Signal) -> float:
    """The least sure group."""
    return float(groups.min())


def bottom_groups(groups: Signal) -> float:
    """The mean of the least sure tenth of the groups, of at least one."""
    count = max(1, int(len(groups) * BOTTOM_SHARE))
    return float(np.partition(groups, count - 1)[:count].mean())


def confidence_columns(confidences: Signal, group: int, tail: int) -> dict[str, float]:
    """The four confidences of at least one token's: mean, of the last `tail` tokens, lowest and bottom tenth."""
    groups = group_means(confidences, group)
    return {
        "confidence_mean": float(confidences.mean()),
        "confidence_tail": float(confidences[-tail:].mean()),
        "confidence_lowest": lowest_group(groups),
        "confidence_bottom": bottom_groups(groups),
    }
