"""What a benchmark of searches compares: the method, its problems, and a PRM that is real or costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from overthink.tasks.recipes.recipe import Recipe

Lengths = Literal["equal", "mixed"]
MethodName = Literal["beam_search", "beam_search_hf", "dvts"]
PrmKind = Literal["real", "free"]
EQUAL_LENGTH = 6
LONGEST = 12
STEP_TOKENS = 64
SAMPLING = {"temperature": 0.7, "max_tokens": 256}
ENGINE = {"engine": "vllm", "max_model_len": 512}
PRMS: Mapping[PrmKind, dict[str, Any]] = {"real": ENGINE | {"model": "zoo/abacus-prm"}, "free": {"engine": "fake"}}
METHODS: Mapping[MethodName, dict[str, Any]] = {
    "beam_search": {"method": "beam_search"},
    "beam_search_hf": {"method": "beam_search", "variant": "hf"},
    "dvts": {"method": "dvts", "return": "siblings"},
}


@dataclass(frozen=True)
class Case:
    """A method of `METHODS` with its N (M is 4), chains of one length or of many, and the PRM."""

    method: MethodName
    n: int
    lengths: Lengths
    prm: PrmKind

    def recipe(self, problems: int, seed: int, engines: Mapping[str, Any] | None = None) -> Recipe:
        """The search, with abacus-1m unless `engines` says otherwise; each seed is a run on chains of its own."""
        shortest, longest = (EQUAL_LENGTH, EQUAL_LENGTH) if self.lengths == "equal" else (1, LONGEST)
        chains = {"source": "chains", "count": problems, "shortest": shortest, "longest": longest, "seed": seed}
        return Recipe.model_validate(
            {
                "name": "benchmark-search",
                "seed": seed,
                "problems": chains,
                **(engines or {"policy": ENGINE | {"model": "zoo/abacus-1m"}, "prm": PRMS[self.prm]}),
                "methods": [METHODS[self.method] | {"n": self.n, "step_tokens": STEP_TOKENS}],
                "budgets": [self.n],
                "sampling": SAMPLING,
            }
        )
