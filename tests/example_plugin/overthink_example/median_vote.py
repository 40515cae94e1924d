"""A vote in which each rollout weighs as much as the median of its steps' scores."""

import numpy as np

from overthink.tasks.analysis.selectors import Candidates, Floats, Selector, vote


def medians(rollouts: Candidates) -> Floats:
    """The median step score of each rollout, (N,); NaN where there is none."""
    return np.array([np.median(scores) if len(scores) else np.nan for scores in rollouts.steps or ()])


MEDIAN_VOTE = Selector("prm_median_vote", pick=vote, value=medians, signal="prm", version=1)
