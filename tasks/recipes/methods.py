"""The methods of a recipe: their parameters, validated with a reason, and the searches they make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from overthink.storage.keys import content_key
from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.methods.adaptive import adaptive, by_bayes_factor, by_certainty
from overthink.tasks.methods.beam_search import beam_search, beam_search_hf
from overthink.tasks.methods.best_of_n import best_of_n
from overthink.tasks.methods.cot import cot
from overthink.tasks.methods.deepconf import DeepConfRule, deepconf
from overthink.tasks.methods.dvts import dvts
from overthink.tasks.methods.growth import Growth, StepValue
from overthink.tasks.methods.mcts import Rule, mcts
from overthink.tasks.methods.particle_filtering import particle_filtering
from overthink.tasks.methods.rebase import rebase
from overthink.tasks.methods.requests import Method
from overthink.tasks.methods.thinking import Thinking
from overthink.tasks.recipes.installed_methods import OrInstalled, name_of
from overthink.tasks.recipes.reasoning_config import check_budget
from overthink.tasks.recipes.sampling_config import ConfidenceConfig
from overthink.tasks.records import Sampling

NAMED_APART = ("method", "n", "beam_width")


@dataclass(frozen=True)
class Draws:
    """What a method takes from the rest of the recipe.

    `indices` numbers the solutions wanted of a method whose solutions are independent; `sampling` draws a whole one,
    `delimiter` ends a step, `is_final` tells whether one holds the final answer, `answer_of` reads the answer in a
    solution; `seed` is the problem's own, for methods that draw lots; `thinking` is how the policy reasons, None where
    it does not; `group` is the number of tokens of a group of confidences.
    """

    indices: range
    sampling: Sampling
    delimiter: str
    is_final: Callable[[str], bool]
    answer_of: Callable[[str], str | None]
    seed: int
    thinking: Thinking | None = None
    group: int = ConfidenceConfig().group


class MethodConfig(BaseModel):
    """What all methods have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # A search grows a tree, asks the PRM on the way and answers one budget, its own n.
    is_search: ClassVar[bool] = False
    # Of what a plug-in computes, raised with every change of it; a built-in method's is in tasks/stages/identity.py.
    version: ClassVar[int] = 1
    # Any subset of independent rollouts stands for a smaller budget; other methods' rollouts only count together.
    independent: ClassVar[bool] = False

    @property
    def reads_answers(self) -> bool:
        """Whether what it draws depends on answers, and so on how they are read."""
        return False

    @property
    def is_guided(self) -> bool:
        """Whether a PRM's scores decide what it draws."""
        return self.is_search

    @property
    def reads_confidence(self) -> bool:
        """Whether the policy's confidence decides what it draws."""
        return False


class Cot(MethodConfig):
    """One greedy solution a problem."""

    independent: ClassVar[bool] = True

    method: Literal["cot"]

    @property
    def n(self) -> int:
        """Rollouts a problem."""
        return 1

    @property
    def method_id(self) -> str:
        """The method; it has no parameters."""
        return "cot"

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return cot(draws.sampling, draws.thinking)


class BudgetConfig(MethodConfig):
    """Methods with a budget N."""

    # Values that a method_id does not name although they are no defaults: they were, when it was first given out.
    unnamed: ClassVar[Mapping[str, Any]] = {}

    n: int = Field(ge=1, lt=2**31, description="budget: solutions drawn at once")

    @property
    def method_id(self) -> str:
        """The method with its parameters, those left at their defaults aside: `beam_search-n16-m4`.

        A name means the same for ever: a default that changes is named from then on, its predecessor never.
        """
        settings = dict(self)
        parts = [str(settings["method"]), f"n{self.n}"]
        if "beam_width" in settings:
            parts.append(f"m{settings['beam_width']}")
        for name, field in type(self).model_fields.items():
            value = settings[name]
            if name not in NAMED_APART and value != self.unnamed.get(name, field.default):
                parts.append(value if isinstance(value, str) else name + repr(value).removesuffix(".0"))
        return "-".join(parts)


class BestOfN(BudgetConfig):
    """N independent solutions a problem."""

    independent: ClassVar[bool] = True

    method: Literal["best_of_n"]

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return best_of_n(draws.sampling, draws.indices, draws.thinking)


class BudgetForcing(BudgetConfig):
    """N independent solutions whose reasoning is cut, or made to go on (Muennighoff et al. 2025)."""

    independent: ClassVar[bool] = True

    method: Literal["budget_forcing"]
    max_tokens: int | None = Field(default=None, ge=1, description="tokens of reasoning, at which it is closed")
    min_tokens: int = Field(default=0, ge=0, description="tokens of reasoning before which its end is held back")
    wait: int = Field(default=0, ge=0, description="times that the end of the reasoning is held back")
    text: str = Field(default="Wait", min_length=1, description="what stands where an end was held back")

    @model_validator(mode="after")
    def _forces_something(self) -> Self:
        check_budget(self.max_tokens, self.min_tokens)
        if self.max_tokens is None and not self.min_tokens and not self.wait:
            raise ValueError("budget_forcing forces nothing: name max_tokens, min_tokens or wait")
        return self

    @property
    def method_id(self) -> str:
        """The method with its budget; a text of one's own by a digest."""
        named = super().method_id
        if self.text == type(self).model_fields["text"].default:
            return named
        return named.replace(f"-{self.text}", f"-text{content_key(self.text)[:6]}")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        assert draws.thinking is not None, "the plan refuses a policy that does not think"
        budget = self.model_dump(include={"max_tokens", "min_tokens", "wait", "text"})
        return best_of_n(draws.sampling, draws.indices, replace(draws.thinking, **budget))


class Adaptive(BudgetConfig):
    """Best-of-N that stops early, once the leading answer cannot plausibly lose."""

    method: Literal["adaptive"]
    wave: int = Field(default=4, ge=1, description="solutions drawn before the votes are counted again")
    threshold: float = Field(default=0.95, gt=0.5, lt=1, description="P(the leader is the likelier answer) to stop at")
    rule: Annotated[Literal["certainty", "bayes_factor"], ADDED_LATER] = Field(
        default="certainty", description="what is compared with a bound: certainty with threshold, or bayes_factor"
    )
    factor: Annotated[float, ADDED_LATER] = Field(
        default=100.0, gt=1, description="Bayes factor for the leader as the likeliest answer to stop at"
    )

    @model_validator(mode="after")
    def _only_its_own_bound(self) -> Self:
        unused = "factor" if self.rule == "certainty" else "threshold"
        if getattr(self, unused) != type(self).model_fields[unused].default:
            raise ValueError(f"{unused} does nothing where rule is {self.rule}: leave it out, or name the other rule")
        return self

    @property
    def reads_answers(self) -> bool:
        """Their vote decides whether more are drawn."""
        return True

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        is_decided = by_certainty(self.threshold) if self.rule == "certainty" else by_bayes_factor(self.factor)
        return adaptive(draws.sampling, self.n, self.wave, is_decided, draws.answer_of, draws.thinking)


class DeepConf(BudgetConfig):
    """Solutions that end where the policy is less sure than the first ones were at their worst (Fu et al. 2025)."""

    method: Literal["deepconf"]
    warm_up: int = Field(default=16, ge=1, description="first solutions, drawn to the end, that set the bar")
    keep: int = Field(default=90, ge=1, le=100, description="percent of the first ones that reach the bar and vote")
    chunk: int = Field(default=256, ge=1, description="tokens drawn before their confidence is looked at")
    consensus: float | None = Field(default=None, gt=0.5, le=1, description="share of the vote at which drawing ends")
    wave: int = Field(default=8, ge=1, description="solutions drawn before the vote is counted again for consensus")

    @model_validator(mode="after")
    def _reaches_past_the_first(self) -> Self:
        if self.n <= self.warm_up:
            raise ValueError(f"n = {self.n} are no more than the {self.warm_up} of warm_up: raise n or lower warm_up")
        if self.consensus is None and self.wave != type(self).model_fields["wave"].default:
            raise ValueError("wave does nothing without consensus: name both, or leave wave out")
        return self

    @property
    def reads_answers(self) -> bool:
        """A consensus is one on answers."""
        return self.consensus is not None

    @property
    def reads_confidence(self) -> bool:
        """It ends what is too unsure."""
        return True

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        settings = self.model_dump(include={"warm_up", "keep", "chunk", "consensus", "wave"})
        rule = DeepConfRule(group=draws.group, **settings)
        return deepconf(draws.sampling, self.n, rule, draws.answer_of, draws.thinking)


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
        )


class BeamConfig(SearchConfig):
    """Searches that draw M steps after each step they keep."""

    beam_width: int = Field(default=4, ge=1, description="M, steps drawn after each one kept")

    @model_validator(mode="after")
    def _whole_beams(self) -> Self:
        if self.n % self.beam_width:
            raise ValueError(f"n = {self.n} is not a multiple of beam_width = {self.beam_width}")
        return self


class BeamSearch(BeamConfig):
    """Each round the N/M best steps go on with M steps each."""

    method: Literal["beam_search"]
    variant: Literal["paper", "hf"] = "paper"
    lookahead: int = Field(default=0, ge=0, description="greedy steps a score looks ahead; the budget is n * (k + 1)")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        search = beam_search if self.variant == "paper" else beam_search_hf
        return search(self.growth(draws, self.lookahead), self.n, self.beam_width)


class Dvts(BeamConfig):
    """N/M independent subtrees, each a beam search that keeps one path."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    method: Literal["dvts"]
    returned: Literal["best", "siblings"] = Field(default="best", alias="return")
    lookahead: int = Field(default=0, ge=0, description="greedy steps a score looks ahead; the budget is n * (k + 1)")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return dvts(self.growth(draws, self.lookahead), self.n, self.beam_width, self.returned == "siblings")


class Rebase(SearchConfig):
    """The scores divide each round's budget among all live paths."""

    unnamed: ClassVar[Mapping[str, Any]] = {"balance": 0.1}

    method: Literal["rebase"]
    balance: float = Field(default=0.2, gt=0, description="temperature of the softmax that divides the budget")

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return rebase(self.growth(draws), self.n, self.balance)


class ParticleFiltering(SearchConfig):
    """Paths are resampled in proportion to the PRM's odds; n counts the particles of all iterations together."""

    method: Literal["particle_filtering"]
    iterations: int = Field(default=1, ge=1, description="Gibbs iterations; each runs n / iterations particles")
    resampling_temperature: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _whole_iterations(self) -> Self:
        if self.n % self.iterations:
            raise ValueError(f"n = {self.n} is not a multiple of iterations = {self.iterations}")
        return self

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        settings = (self.n, self.iterations, self.resampling_temperature, draws.seed)
        return particle_filtering(self.growth(draws), *settings)


class Mcts(BeamConfig):
    """One tree, grown M steps at a time at the most promising leaf, until N/M paths have ended."""

    method: Literal["mcts"]
    rule: Rule = "puct"
    exploration: float = Field(default=1.0, ge=0)

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return mcts(self.growth(draws), self.n, self.beam_width, self.exploration, self.rule)


BuiltIn = Cot | BestOfN | BudgetForcing | Adaptive | DeepConf | BeamSearch | Dvts | Rebase | ParticleFiltering | Mcts


class ComputeOptimal(MethodConfig):
    """For each problem the method that a strategy chooses, after a pilot of a few rollouts that count.

    Each problem gets the budget `n`; or all of them share a total, which goes where it helps most.
    """

    is_search: ClassVar[bool] = True

    method: Literal["compute_optimal"]
    strategy: Path = Field(description="a file that `overthink fit` wrote")
    n: int | None = Field(default=None, ge=1, description="budget: solutions of each problem, the pilot's included")
    total_tokens: int | None = Field(default=None, ge=1, description="completion tokens of all problems together")
    total_flops: float | None = Field(default=None, gt=0, description="of policy and PRM, for all problems together")

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if [self.n, self.total_tokens, self.total_flops].count(None) != 2:
            raise ValueError("compute_optimal takes one of n, total_tokens and total_flops")
        return self

    def method_id(self, strategy: str) -> str:
        """The method with its limit and the strategy's name: `compute_optimal-n16-chains`."""
        limits = (("n", self.n), ("tokens", self.total_tokens), ("flops", self.total_flops))
        (limit,) = (f"{name}{value:.12g}" for name, value in limits if value is not None)
        return f"compute_optimal-{limit}-{strategy}"


METHODS: Mapping[str, type[MethodConfig]] = {name_of(kind): kind for kind in (*get_args(BuiltIn), ComputeOptimal)}
INSTALLED = OrInstalled(MethodConfig, METHODS)
AnyMethod = Annotated[BuiltIn, INSTALLED]
ListedMethod = Annotated[BuiltIn | ComputeOptimal, INSTALLED]
