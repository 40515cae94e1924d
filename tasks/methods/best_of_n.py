"""Best-of-N: N independent whole solutions; a selector then picks an answer."""

from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.thinking import Thinking, solutions
from overthink.tasks.records import Sampling


def best_of_n(sampling: Sampling, indices: range, thinking: Thinking | None = None) -> Method:
    """Sample the solutions of these numbers."""
    return Outcome(tuple((yield from solutions(sampling, thinking, indices))))
