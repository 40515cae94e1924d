"""The answer of the rollout over whose words the policy was least undecided."""

from overthink.tasks.analysis.selectors import Candidates, Floats, Selector, best


def decidedness(rollouts: Candidates) -> Floats:
    """The negative mean entropy of each rollout's tokens, (N,); NaN where unknown."""
    return -rollouts.signal("entropy_mean")


LEAST_ENTROPY = Selector("least_entropy", pick=best, value=decidedness, signal="entropy_mean", version=1)
