"""The searches over steps: their parameters, and the searches they make."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.methods.beam_search import beam_search, beam_search_hf
from overthink.tasks.methods.dvts import dvts
from overthink.tasks.methods.growth import Growth, StepValue
from overthink.tasks.methods.mcts import Rule, mcts
from overthink.tasks.methods.particle_filtering import particle_filtering
from overthink.tasks.methods.rebase import rebase
from overthink.tasks.methods.requests import Method
from overthink.tasks.recipes.method_config import BudgetConfig, Draws


class SearchConfig(BudgetConfig):
    """What all step-level searches have in common."""

    is_search: ClassVar[bool] = True

    max_depth: int = Field(default=40, ge=1, description="steps of one path")
    step_tokens: int = Field(default=2048, ge=1, description="tokens of one step")
    path_tokens: Annotated[int | None, ADDED_LATER] = Field(
        default=None, ge=1, description="tokens of one whole path; any number unless named"
    )

    value: Annotated[StepValue, ADDED_LATER] = Field(
        default="prm", description="what a step is ranked by: its score, or the policy's own confidence, without a PRM"
    )
    granularity: Annotated[int, ADDED_LATER] = Field(
        default=1, ge=1, description="steps written before they are scored, together, and a path is chosen again"
    )

    @model_validator(mode="after")
    def _looks_ahead_by_scores(self) -> Self:
        lookahead: int = getattr(self, "lookahead", 0)
        if self.value != "prm" and lookahead:
            raise ValueError("lookahead looks at a later step's score: leave it out, or name value: prm")
        return self

    @property
    def is_guided(self) -> bool:
        """By the PRM unless by confidence."""
        return self.value == "prm"

    @property
    def reads_confidence(self) -> bool:
        """Where that is the value of a step."""
        return self.value == "confidence"

    @property
    def further_texts(self) -> int:
        """The steps that its scores look ahead, for each step."""
        return int(getattr(self, "lookahead", 0))

    def growth(self, draws: Draws, lookahead: int = 0) -> Growth:
        """How this search's trees grow."""
        return Growth(
            sampling=replace(draws.sampling, max_tokens=self.step_tokens, stop=(draws.delimiter,)),
            max_depth=self.max_depth,
            is_final=draws.is_final,
            lookahead=lookahead,
            path_tokens=self.path_tokens,
            thinking=draws.thinking,
            reasoning_tokens=draws.sampling.max_tokens,
            value=self.value,
            granularity=self.granularity,
        )


class BeamConfig(SearchConfig):
    """Searches that draw M steps after each step they keep."""

    beam_width: int = Field(default=4, ge=1, description="M, steps drawn after each one kept")

    @model_validator(mode="after")
    def _whole_beams(self) -> Self:
        if self.n % self.beam_width:
            raise ValueError(f"n = {self.n} is not a multiple of beam_width = {self.beam_width}")
        return self


class BeamSearch(BeamConfig, title="beam search"):
    """Each round the N/M best steps go on with M steps each."""

    method: Literal["beam_search"]
    variant: Literal["paper", "hf"] = Field(default="paper", description="hf: as search-and-learn does it")
    lookahead: int = Field(default=0, ge=0, description="greedy steps a score looks ahead; the budget is n * (k + 1)")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        search = beam_search if self.variant == "paper" else beam_search_hf
        return search(self.growth(draws, self.lookahead), self.n, self.beam_width)


class Dvts(BeamConfig, title="DVTS"):
    """N/M independent subtrees, each a beam search that keeps one path."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    method: Literal["dvts"]
    returned: Literal["best", "siblings"] = Field(
        default="best",
        alias="return",
        description="siblings: the last M steps of a subtree too, as search-and-learn does",
    )
    lookahead: int = Field(default=0, ge=0, description="greedy steps a score looks ahead; the budget is n * (k + 1)")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return dvts(self.growth(draws, self.lookahead), self.n, self.beam_width, self.returned == "siblings")


class Rebase(SearchConfig, title="REBASE"):
    """The scores divide each round's budget among all live paths."""

    unnamed: ClassVar[Mapping[str, Any]] = {"balance": 0.1}

    method: Literal["rebase"]
    balance: float = Field(default=0.2, gt=0, description="temperature of the softmax that divides the budget")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return rebase(self.growth(draws), self.n, self.balance)


class ParticleFiltering(SearchConfig, title="particle filtering"):
    """Paths are resampled in proportion to the PRM's odds; n counts the particles of all iterations together."""

    method: Literal["particle_filtering"]
    iterations: int = Field(default=1, ge=1, description="Gibbs iterations; each runs n / iterations particles")
    resampling_temperature: float = Field(default=1.0, gt=0, description="of the softmax over the scores' log-odds")
    tempering: Annotated[Literal["fixed", "entropic"], ADDED_LATER] = Field(
        default="fixed",
        description="fixed, or by the effective sample size and the share of `max_depth` that is written",
    )

    @model_validator(mode="after")
    def _one_temperature(self) -> Self:
        if self.tempering == "entropic" and self.resampling_temperature != 1:
            raise ValueError("resampling_temperature does nothing where tempering is entropic: leave one of them out")
        return self

    @model_validator(mode="after")
    def _whole_iterations(self) -> Self:
        if self.n % self.iterations:
            raise ValueError(f"n = {self.n} is not a multiple of iterations = {self.iterations}")
        return self

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        temperature = None if self.tempering == "entropic" else self.resampling_temperature
        return particle_filtering(self.growth(draws), self.n, self.iterations, temperature, draws.seed)


class Mcts(BeamConfig, title="MCTS"):
    """One tree, grown M steps at a time at the most promising leaf, until N/M paths have ended."""

    method: Literal["mcts"]
    rule: Rule = Field(default="puct", description="how the next leaf is chosen")
    exploration: float = Field(default=1.0, ge=0, description="weight of what was visited seldom")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return mcts(self.growth(draws), self.n, self.beam_width, self.exploration, self.rule)
