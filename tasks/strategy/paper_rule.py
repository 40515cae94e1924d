"""The rule of Liu et al. 2025 ("Can 1B LLM Surpass 405B LLM?"), not fitted: a method for each policy and difficulty."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from overthink.tasks.analysis.difficulty import Difficulty
from overthink.tasks.analysis.selectors import SelectorName


@dataclass(frozen=True)
class PaperRule:
    """A method for each difficulty, and a selector where the rule names one."""

    methods: dict[Difficulty, str]
    selector: SelectorName | None = None


def _always(method: str) -> dict[Difficulty, str]:
    return {"easy": method, "medium": method, "hard": method}


BEST_OF_N = PaperRule(_always("best_of_n"))
REASONING = PaperRule(_always("best_of_n"), "majority")

# (upper bound of parameters, rule), smallest first. A "32B" model has up to a billion parameters more than its name.
Sizes = tuple[tuple[float, PaperRule], ...]
MATH: Sizes = (
    (7e9, PaperRule(_always("beam_search"))),
    (33e9, PaperRule(_always("dvts") | {"hard": "beam_search"})),
    (math.inf, BEST_OF_N),
)
AIME: Sizes = ((14e9, PaperRule(_always("dvts"))), (math.inf, BEST_OF_N))


def paper_rule(policy: str, parameters: int | None, problem_sets: Collection[str]) -> PaperRule | None:
    """The rule for a policy, None where its size is unknown; the rule for MATH-500 applies to every set but AIME."""
    if "r1-distill" in policy.lower():
        return REASONING
    if parameters is None:
        return None
    sizes = AIME if all("aime" in name.lower() for name in problem_sets) else MATH
    return next(rule for bound, rule in sizes if parameters < bound)
