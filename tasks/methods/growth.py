"""How a search's trees grow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.records import Sampling

StepValue = Literal["prm", "confidence"]


@dataclass(frozen=True)
class Growth:
    """How trees grow: how one step is drawn, how deep paths may go, when one ends, how far a score looks ahead.

    `sampling.stop` holds the step delimiter. `is_final` says whether a step holds the final answer. With `lookahead`
    k, a step is ranked by the PRM's score of the k-th step after it, written greedily (Snell et al. 2024). A path has
    at most `path_tokens`, None: any number. `thinking` is how the policy reasons before its first step, within
    `reasoning_tokens`; None where it does not. `value` is what a step is ranked by: the PRM's score of it, or the
    policy's own mean confidence in its tokens. Steps are scored in blocks of `granularity`, each ranked as its last.
    """

    sampling: Sampling
    max_depth: int
    is_final: Callable[[str], bool]
    lookahead: int = 0
    path_tokens: int | None = None
    thinking: Thinking | None = None
    reasoning_tokens: int = 0
    value: StepValue = "prm"
    granularity: int = 1
