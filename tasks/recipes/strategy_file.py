"""A strategy: which method to use for which difficulty under which budget, as a readable file.

It holds for one policy and one PRM, because the best choice depends on both (Liu et al. 2025).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from overthink.tasks.analysis.difficulty import DIFFICULTIES, Difficulty, DifficultyConfig, Predictor
from overthink.tasks.analysis.selectors import Floats, Integers, SelectorName, signal_of
from overthink.tasks.analysis.signals import OF_TESTS
from overthink.tasks.domains.known_domains import MATH, DomainName
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.complaints import all_told
from overthink.tasks.recipes.grading import GradingConfig
from overthink.tasks.recipes.loading import read_mapping
from overthink.tasks.recipes.methods import AnyMethod, BestOfN
from overthink.tasks.recipes.reasoning_config import Reasoning, ReasoningConfig
from overthink.tasks.recipes.sampling_config import SamplingConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]*$"  # it becomes part of a method_id, and models' names part of it
HEADING = "# Made by `overthink fit`; what it says is in docs/compute-optimal.md.\n"


class FixedChoice(BaseModel):
    """What to do with every problem under one budget, without a pilot, and what that was worth on held-out problems."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: int = Field(ge=1, description="solutions in all, the pilot's included")
    method: AnyMethod
    selector: SelectorName
    problems: int = Field(ge=0, description="how many the accuracy rests on")
    accuracy: float | None = Field(description="cross-validated; in [0, 1]")
    ci_low: float | None
    ci_high: float | None
    policy_tokens: float = Field(gt=0, description="completion tokens of a problem, the pilot's included")
    flops: float | None = Field(gt=0, description="of policy and PRM together, for a problem; null where unknown")

    @field_validator("selector")
    @classmethod
    def _of_answers_or_scores(cls, selector: str) -> str:
        if signal_of(selector) not in (None, "prm", *OF_TESTS):
            raise ValueError(
                f"{selector} reads {signal_of(selector)}: a strategy chooses by answers, step scores and tests"
            )
        return selector


class Choice(FixedChoice):
    """What to do with a problem of one difficulty under one budget, and what that was worth on held-out problems.

    `method` is what follows the pilot. Its rollouts are chosen among together with the pilot's: of independent ones
    the pilot is the first few, so n is the budget; for a search n is the budget less the pilot.
    """

    difficulty: Difficulty
    pilot_tokens: float = Field(gt=0, description="completion tokens of a problem's pilot, where the choice was made")


class Expectation(BaseModel):
    """The accuracy to expect of a problem under one budget, from its pilot, when the strategy is followed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: int = Field(ge=1)
    accuracy: Predictor


class Prospects(NamedTuple):
    """What each budget, rising, is worth to each problem and what it takes in all, the pilot included.

    `budgets` (budgets,); the others (problems, budgets): `accuracy` in (0, 1), completion `tokens`, and `flops` of
    policy and PRM, NaN where unknown.
    """

    budgets: Integers
    accuracy: Floats
    tokens: Floats
    flops: Floats


class Strategy(BaseModel):
    """A fitted strategy, and all it takes to apply it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: str = Field(pattern=NAME)
    policy: PolicyConfig
    policy_id: str = Field(description="the policy's address, fingerprint included")
    prm: PrmConfig
    prm_id: str = Field(description="the PRM's address, fingerprint included")
    domain: DomainName = MATH.name
    domain_options: Mapping[str, JsonValue] = {}
    prompt: PromptConfig = PromptConfig()
    sampling: SamplingConfig
    reasoning: Reasoning = ReasoningConfig()
    grading: GradingConfig
    seed: int
    difficulty: DifficultyConfig
    predictor: Predictor
    fitted_from: tuple[str, ...] = Field(description="run ids")
    chance: float | None = Field(default=None, description="accuracy of guesses, where they may be right; in [0, 1]")
    choices: tuple[Choice, ...] = Field(min_length=1)
    without_pilot: tuple[FixedChoice, ...] = Field(
        default=(), description="budgets of which the pilot is not worth its share, unless a total is shared out"
    )
    expectations: tuple[Expectation, ...] = Field(description="one a budget, by which a total is shared out")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        listed = [(choice.budget, choice.difficulty) for choice in self.choices]
        if sorted(listed) != sorted((budget, difficulty) for budget in self.budgets for difficulty in DIFFICULTIES):
            raise ValueError(f"choices: each budget has one for each of {', '.join(DIFFICULTIES)}")
        for choice in self.choices:
            self._check_size(choice)
        for fixed in self.without_pilot:
            if fixed.budget not in self.budgets or fixed.method.n != fixed.budget:
                raise ValueError(
                    f"without_pilot: {fixed.method.method_id} cannot be that of budget {fixed.budget}: its n is the "
                    f"budget, one of {', '.join(map(str, self.budgets))}"
                )
        if sorted(one.budget for one in self.expectations) != list(self.budgets):
            raise ValueError(f"expectations: there is one for each of the budgets {', '.join(map(str, self.budgets))}")
        return self

    @field_validator("choices", "without_pilot")
    @classmethod
    def _searched_by_scores(cls, choices: tuple[FixedChoice, ...]) -> tuple[FixedChoice, ...]:
        for choice in choices:
            if choice.method.is_search and not choice.method.is_guided:
                raise ValueError(f"{choice.method.method_id} asks no PRM: scores guide a strategy's searches")
        return choices

    def _check_size(self, choice: Choice) -> None:
        pilot = self.difficulty.pilot
        independent = isinstance(choice.method, BestOfN)
        if choice.budget < pilot:
            raise ValueError(f"choices: budget {choice.budget} is less than the pilot of {pilot}")
        n = choice.budget if independent else choice.budget - pilot
        if choice.method.n != n:
            raise ValueError(
                f"choices: {choice.method.method_id} cannot be that of budget {choice.budget}: its n is {n}, "
                + ("the pilot's included" if independent else f"beside a pilot of {pilot}")
            )

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets there are choices for, rising."""
        return tuple(sorted({choice.budget for choice in self.choices}))

    def predicted(self, features: Floats) -> Floats:
        """The pass@1 to expect, (problems,), from pilots' features (problems, FEATURES)."""
        return self.predictor.pass_at_1(features)

    def choice(self, budget: int, pass_at_1: float) -> Choice:
        """What to do with a problem of this pass@1. Raises UserError where nothing was fitted for this budget."""
        difficulty = self.difficulty.of(pass_at_1)
        for choice in self.choices:
            if (choice.budget, choice.difficulty) == (budget, difficulty):
                return choice
        raise UserError(
            f"strategy {self.name} has no choice for a budget of {budget}: take one of "
            f"{', '.join(map(str, self.budgets))}, or fit it to runs with this budget"
        )

    def fixed_choice(self, budget: int) -> FixedChoice | None:
        """What to do with every problem at this budget; None where a pilot is worth its share of it."""
        return next((choice for choice in self.without_pilot if choice.budget == budget), None)

    def prospects(self, features: Floats, pilot_tokens: Floats) -> Prospects:
        """What each budget promises, from features (problems, FEATURES) and completion tokens (problems,) of pilots."""
        predicted = self.predicted(features)
        by_budget = {one.budget: one.accuracy for one in self.expectations}
        accuracy = np.column_stack([by_budget[budget].pass_at_1(features) for budget in self.budgets])
        choices = [[self.choice(budget, chance) for budget in self.budgets] for chance in predicted.tolist()]
        tokens = np.array([[one.policy_tokens / one.pilot_tokens for one in row] for row in choices])
        flops = np.array([[(one.flops or np.nan) / one.pilot_tokens for one in row] for row in choices])
        pilots = pilot_tokens[:, np.newaxis]
        return Prospects(np.array(self.budgets), accuracy, tokens * pilots, flops * pilots)


def read_strategy(path: Path) -> Strategy:
    """Read a strategy. Raises UserError naming file, key and remedy."""
    if not path.exists():
        raise UserError(f"there is no strategy {path}: name a file that `overthink fit` wrote")
    value = read_mapping(path, "a strategy is a mapping of keys to values, as `overthink fit` writes it")
    try:
        return Strategy.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path}: {all_told(error, value, Strategy)}") from error


def write_strategy(strategy: Strategy, path: Path) -> None:
    """Write a strategy for people to read. Raises UserError where the file cannot be written."""
    text = yaml.safe_dump(strategy.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    try:
        path.write_text(HEADING + text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; name a file in an existing folder") from error
