"""A strategy: which method to use for which difficulty under which budget, as a readable file.

It holds for one policy and one PRM, because the best choice depends on both (paper section 1).
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.methods import AnyMethod
from flows.recipe import GradingConfig, SamplingConfig
from tasks.analysis.difficulty import Difficulty, DifficultyConfig, Predictor
from tasks.analysis.selectors import Selector
from tasks.engines.config import PolicyConfig, PrmConfig


class Choice(BaseModel):
    """What to do with a problem of one difficulty under one budget, and what that was worth on held-out problems.

    `method` is what follows the pilot. Its rollouts are chosen among together with the pilot's: of independent ones
    the pilot is the first few, so n is the budget; for a search n is the budget less the pilot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: int = Field(ge=1, description="solutions in all, the pilot's included")
    difficulty: Difficulty
    method: AnyMethod
    selector: Selector
    problems: int = Field(ge=0, description="how many the figures below rest on")
    accuracy: float | None = Field(description="cross-validated; in [0, 1]")
    ci_low: float | None
    ci_high: float | None
    policy_tokens: float | None = Field(description="completion tokens of a problem, the pilot's included")
    flops: float | None = Field(description="of policy and PRM together, for a problem")


class Strategy(BaseModel):
    """A fitted strategy, and all it takes to apply it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: str
    policy: PolicyConfig
    policy_id: str = Field(description="the policy's address, fingerprint included")
    prm: PrmConfig
    prm_id: str = Field(description="the PRM's address, fingerprint included")
    sampling: SamplingConfig
    grading: GradingConfig
    seed: int
    difficulty: DifficultyConfig
    predictor: Predictor
    fitted_from: tuple[str, ...] = Field(description="run ids")
    choices: tuple[Choice, ...] = Field(min_length=1)
