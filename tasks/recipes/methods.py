"""The methods of a recipe: their parameters, validated with a reason, and the searches they make."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from overthink.tasks.determinants import ADDED_LATER
from overthink.tasks.methods.adaptive import adaptive, by_bayes_factor, by_certainty
from overthink.tasks.methods.best_of_n import best_of_n
from overthink.tasks.methods.cot import cot
from overthink.tasks.methods.deepconf import DeepConfRule, deepconf
from overthink.tasks.methods.requests import Method
from overthink.tasks.recipes.installed_methods import OrInstalled, name_of
from overthink.tasks.recipes.method_config import BudgetConfig, Draws, MethodConfig
from overthink.tasks.recipes.reasoning_config import check_budget
from overthink.tasks.recipes.revision_methods import SelfRefine, SelfVerify, SequentialRevisions
from overthink.tasks.recipes.search_methods import BeamSearch, Dvts, Mcts, ParticleFiltering, Rebase


class Cot(MethodConfig, title="CoT, greedy"):
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


class BestOfN(BudgetConfig, title="best-of-N"):
    """N independent solutions a problem."""

    independent: ClassVar[bool] = True

    method: Literal["best_of_n"]

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        return best_of_n(draws.sampling, draws.indices, draws.thinking)


class BudgetForcing(BudgetConfig, title="budget forcing"):
    """N independent solutions whose reasoning is cut, or made to go on (Muennighoff et al. 2025)."""

    independent: ClassVar[bool] = True
    worded: ClassVar[frozenset[str]] = frozenset({"text"})

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

    def build(self, draws: Draws) -> Method:
        """A fresh search for one problem."""
        assert draws.thinking is not None, "the plan refuses a policy that does not think"
        budget = self.model_dump(include={"max_tokens", "min_tokens", "wait", "text"})
        return best_of_n(draws.sampling, draws.indices, replace(draws.thinking, **budget))


class Adaptive(BudgetConfig, title="adaptive best-of-N"):
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


class DeepConf(BudgetConfig, title="deep think with confidence"):
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


Searches = BeamSearch | Dvts | Rebase | ParticleFiltering | Mcts
Revisions = SelfRefine | SelfVerify | SequentialRevisions
BuiltIn = Cot | BestOfN | BudgetForcing | Adaptive | DeepConf | Searches | Revisions


class ComputeOptimal(MethodConfig, title="compute-optimal"):
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
