"""A method: half of the solutions at the recipe's temperature, the other half at one of their own."""

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from overthink.tasks.methods.requests import Generate, Method, Outcome, expect_samples
from overthink.tasks.recipes.method_config import BudgetConfig, Draws
from overthink.tasks.records import Sampling, whole_rollout


def two_temperatures(sampling: Sampling, n: int, hot: float) -> Method:
    """Draw N solutions at once, every other one at temperature `hot`."""
    ways = (sampling, replace(sampling, temperature=hot))
    samples = expect_samples((yield [Generate((), index, ways[index % 2]) for index in range(n)]))
    return Outcome(tuple(whole_rollout(index, sample) for index, sample in enumerate(samples)))


class TwoTemperatures(BudgetConfig):
    """N solutions, every other one at the temperature `hot`; only all of them together stand for N."""

    version: ClassVar[int] = 1

    method: Literal["two_temperatures"]
    hot: float = Field(default=1.2, ge=0, description="temperature of every other solution")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return two_temperatures(draws.sampling, self.n, self.hot)
