"""The recipes of `prm-eval` and `prm-train`."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from overthink.tasks.datasets.labelled import SolutionSource
from overthink.tasks.datasets.sources import has_references
from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.recipes.methods import BestOfN
from overthink.tasks.recipes.recipe import BY_CHAT, AnyRecipe, Recipe, SampledRecipe, goes_on_from_steps
from overthink.tasks.training.training_config import TrainingConfig


class PrmEvalRecipe(AnyRecipe):
    """A PRM held against solutions whose first wrong step is known."""

    command = "prm-eval"
    own_key = "solutions"

    solutions: SolutionSource = Field(description="where the labelled solutions come from")
    prm: PrmConfig = Field(description="the model that scores steps")
    threshold_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of the questions whose solutions choose the threshold, not judged by it",
    )
    shard_size: int = Field(default=50, ge=1, description="solutions a task; changes no result")


class PrmTrainRecipe(SampledRecipe):
    """A PRM trained on a policy's rollouts, whose steps are labelled by where the policy gets from them."""

    command = "prm-train"
    own_key = "training"

    rollouts: int = Field(default=16, ge=1, description="of each problem")
    continuations: int = Field(default=8, ge=1, description="from each step of each rollout")
    training: TrainingConfig = Field(description="what learns, and how")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @model_validator(mode="after")
    def _graded(self) -> Self:
        if not has_references(self.problems):
            raise ValueError("a PRM is trained on graded rollouts: name problems with references")
        return self

    @field_validator("policy")
    @classmethod
    def _continued(cls, policy: PolicyConfig) -> PolicyConfig:
        if not goes_on_from_steps(policy):
            raise ValueError(f"labelling {BY_CHAT}")
        return policy

    def rolling_out(self) -> Recipe:
        """The recipe of the rollouts, which any run of the same policy and sampling shares."""
        return Recipe(
            name=self.name,
            seed=self.seed,
            problems=self.problems,
            domain=self.domain,
            domain_options=self.domain_options,
            prompt=self.prompt,
            policy=self.policy,
            methods=(BestOfN(method="best_of_n", n=self.rollouts),),
            budgets=(self.rollouts,),
            sampling=self.sampling,
            reasoning=self.reasoning,
            grading=self.grading,
            shard_size=self.shard_size,
        )
