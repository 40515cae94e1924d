"""Chain of thought: one greedy solution, the baseline of Liu et al. 2025."""

from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.thinking import Thinking, solutions
from overthink.tasks.records import Sampling


def cot(sampling: Sampling, thinking: Thinking | None = None) -> Method:
    """One solution at temperature 0, whatever temperature `sampling` holds."""
    return Outcome(tuple((yield from solutions(sampling.greedy, thinking, range(1)))))
