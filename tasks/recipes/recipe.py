"""The recipe: the whole description of a run, checked before anything starts."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.analysis.selectors import BY_DEFAULT, SELECTORS, SelectorName, signal_of
from overthink.tasks.analysis.signals import OF_TESTS, why_unknown
from overthink.tasks.datasets.sources import Source, domain_of_source, options_of_source
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.domain import Domain
from overthink.tasks.domains.known_domains import MATH, DomainName, domain_of
from overthink.tasks.domains.program_domain import ProgramDomain
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, PolicyConfig
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.json_schema import FormModel
from overthink.tasks.pydantic_words import shown
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.methods import AnyMethod, BudgetForcing, ComputeOptimal, ListedMethod
from overthink.tasks.recipes.reasoning_config import Reasoning, ReasoningConfig
from overthink.tasks.recipes.sampling_config import SamplingConfig


def _no_boolean(value: Any) -> Any:
    """YAML reads `yes` as true, which pydantic would take for 1."""
    if isinstance(value, bool):
        raise ValueError(f"a whole number is wanted, not {shown(value)}")
    return value


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_SELECTORS: TypeAdapter[tuple[SelectorName, ...]] = TypeAdapter(tuple[SelectorName, ...])


def _names_or_all(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A mistake in a list of names is told as one, and not as a second one about `all`."""
    return _SELECTORS.validate_python(value) if isinstance(value, list | tuple) else handler(value)


ListedSelectors = Annotated[tuple[SelectorName, ...] | Literal["all"] | None, WrapValidator(_names_or_all)]
LISTED_SELECTORS = Field(
    default=None,
    description="a list, or all that apply; unless said those of answers, step scores and tests",
)
BY_CHAT = (
    "goes on from steps, but an `openai` policy without `tokenizer` is asked by chat, which shows no tokens to go on "
    "from as they were written: serve the model with vLLM and name its `tokenizer`"
)


def goes_on_from_steps(policy: PolicyConfig) -> bool:
    """Whether a policy can continue what was written, which a chat endpoint cannot."""
    return not isinstance(policy, OpenAIPolicyConfig) or policy.tokenizer is not None


class GateConfig(_Frozen, title="gate"):
    """When a run counts as worse than an earlier one (`tasks/reporting/gate.py`)."""

    selector: SelectorName = Field(default="majority", description="whose accuracy is compared")
    against: str = Field(default="last", description="the last run of this name before, or a run's id")
    max_unknown: float = Field(
        default=0.02, ge=0, le=1, description="share of a method's choices whose verdict may be unknown"
    )


class AnyRecipe(_Frozen, FormModel):
    """What all recipes hold. `command` runs them; `own_key` is one that only recipes of that command have."""

    command: ClassVar[str]
    own_key: ClassVar[str]

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60, description="what runs of it are called")
    seed: Annotated[int, BeforeValidator(_no_boolean)] = Field(
        default=0, ge=0, lt=2**31, description="another seed makes another run"
    )


class SampledRecipe(AnyRecipe):
    """What recipes have in common that ask a policy about problems and grade what it writes."""

    problems: Source = Field(description="where the problems come from")
    domain: DomainName = Field(
        default=None,
        validate_default=True,
        description="what kind of task the problems are; by default what the preset says",
        json_schema_extra={"default": MATH.name},
    )
    domain_options: Mapping[str, JsonValue] = Field(
        default={},
        validate_default=True,
        description="what the domain takes, such as shuffle: true or tolerance: 0.01, over what the preset says",
    )
    prompt: PromptConfig = Field(default=PromptConfig(), description="what is said to the policy")
    policy: PolicyConfig = Field(description="the model that writes")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="how the policy draws tokens")
    reasoning: Reasoning = Field(default=ReasoningConfig(), description="what it thinks before its answer")
    grading: GradingConfig = Field(default=GradingConfig(), description="how answers are found and compared")

    @field_validator("domain", mode="before")
    @classmethod
    def _that_of_the_problems(cls, domain: Any, known: ValidationInfo) -> Any:
        return domain_of_source(known.data.get("problems")) if domain is None else domain

    @field_validator("domain_options")
    @classmethod
    def _taken_by_the_domain(cls, options: Mapping[str, Any], known: ValidationInfo) -> Mapping[str, Any]:
        domain = known.data.get("domain")
        if domain is None:  # it is wrong itself
            return options
        found = {**options_of_source(known.data.get("problems"), domain), **options}
        domain_of(domain).configured(found, known.data.get("seed", 0))
        return found

    @field_validator("policy")
    @classmethod
    def _asked_as_the_recipe_says(cls, policy: PolicyConfig, known: ValidationInfo) -> PolicyConfig:
        domain, prompt = known.data.get("domain"), known.data.get("prompt")  # missing where they are none
        return policy if domain is None or prompt is None else policy.asked_by(domain, prompt)

    @property
    def grader(self) -> Grader:
        """Who reads, groups and grades the answers."""
        return Grader(self._domain, self.grading)

    @property
    def asking(self) -> Asking:
        """How problems are put to the policy."""
        return Asking(self._domain, self.prompt.template)

    @property
    def _domain(self) -> Domain:
        return domain_of(self.domain).configured(self.domain_options, self.seed)


class Recipe(SampledRecipe):
    """A run: which problems, which policy and PRM, which methods, budgets and selectors."""

    command = "run"
    own_key = "methods"

    prm: PrmConfig | None = Field(default=None, description="the model that scores steps")
    methods: tuple[ListedMethod, ...] = Field(min_length=1, description="how rollouts are made")
    budgets: tuple[Annotated[int, Field(ge=1, lt=2**31)], ...] = Field(
        min_length=1, description="numbers of rollouts at which accuracies are reported"
    )
    selectors: ListedSelectors = LISTED_SELECTORS
    difficulty: DifficultyConfig = Field(default=DifficultyConfig(), description="of strategies; changes no result")
    gate: GateConfig | None = Field(default=None, description="fail where accuracy dropped; changes no result")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("selectors")
    @classmethod
    def _listed_once(cls, values: tuple[Any, ...] | str | None) -> tuple[Any, ...] | str | None:
        twice = [value for value in values if values.count(value) > 1] if isinstance(values, tuple) else []
        if twice:
            raise ValueError(f"{twice[0]} is listed twice")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({*(method.method_id for method in self.fixed_methods), *self.strategies}) != len(self.methods):
            raise ValueError("a method is listed twice with the same parameters")
        rollouts = [method.n or max(self.budgets) for method in self.methods]  # under a total any number may do
        if max(self.budgets) > max(rollouts):
            raise ValueError(
                f"budget {max(self.budgets)} is more than the {max(rollouts)} rollouts of any method: raise n"
            )
        for selector in self.chosen_selectors():
            lacking = self._lacking(selector)
            if lacking is not None:
                raise ValueError(f"selector {selector} needs {lacking}")
        if self.gate is not None and self.gate.selector not in self.chosen_selectors():
            raise ValueError(f"the gate's selector {self.gate.selector} is none of this recipe: add it to `selectors`")
        searches = [method.method_id for method in self.fixed_methods if method.is_search]
        searches += [method.method for method in self.strategies]
        guided = [method.method_id for method in self.fixed_methods if method.is_guided]
        guided += [method.method for method in self.strategies]
        if guided and self.prm is None:
            raise ValueError(f"{guided[0]} needs step scores: name a `prm`")
        if searches and not goes_on_from_steps(self.policy):
            raise ValueError(f"{searches[0]} {BY_CHAT}, or choose cot, best_of_n or adaptive")
        forcing = [method.method_id for method in self.fixed_methods if isinstance(method, BudgetForcing)]
        forcing += ["reasoning"] if self.reasoning.is_forced else []
        if forcing and not goes_on_from_steps(self.policy):
            raise ValueError(f"{forcing[0]} {BY_CHAT}")
        self._check_budgets()
        watching = [method.method_id for method in self.fixed_methods if method.reads_confidence]
        if watching and not goes_on_from_steps(self.policy):
            raise ValueError(f"{watching[0]} {BY_CHAT}")
        if watching and self.sampling.confidence is False:
            raise ValueError(f"{watching[0]} reads confidence: leave out `sampling.confidence: false`")
        ahead = [method for method in self.fixed_methods if getattr(method, "lookahead", 0)]
        if ahead and self.reasoning.search:
            raise ValueError(
                f"{ahead[0].method_id} looks ahead by steps of answers: leave out reasoning.search or lookahead"
            )
        return self

    @model_validator(mode="after")
    def _drawn_as_the_policy_can(self) -> Self:
        searches = [method.method_id for method in self.fixed_methods if method.is_search]
        across = [end for end in self.sampling.stop if self.sampling.step_delimiter in end]
        if searches and across:
            raise ValueError(f"{searches[0]} cuts at the step_delimiter, which sampling.stop {across[0]!r} holds")
        if self.sampling.repetition is not None and not goes_on_from_steps(self.policy):
            raise ValueError(
                "sampling.repetition looks at tokens, but an `openai` policy without `tokenizer` shows none: serve the "
                "model with vLLM and name its `tokenizer`, or leave it out"
            )
        return self

    def _check_budgets(self) -> None:
        """Raise ValueError for a budget of reasoning that `sampling.max_tokens` leaves no room for."""
        forced = [method for method in self.fixed_methods if isinstance(method, BudgetForcing)]
        budgets: list[tuple[str, ReasoningConfig | BudgetForcing]] = [("reasoning", self.reasoning)]
        budgets += [(method.method_id, method) for method in forced]
        for name, budget in budgets:
            largest = max(budget.max_tokens or 0, budget.min_tokens)
            if largest >= self.sampling.max_tokens:
                raise ValueError(
                    f"{name} gives the reasoning {largest} tokens, and reasoning and answer together have no more than "
                    f"sampling.max_tokens = {self.sampling.max_tokens}: raise that, or give the reasoning less"
                )
        if self.reasoning.ending and not any(budget.max_tokens for _, budget in budgets):
            raise ValueError("reasoning.ending stands where a budget cuts: name reasoning.max_tokens, or leave it out")

    @property
    def fixed_methods(self) -> tuple[AnyMethod, ...]:
        """The methods that treat all problems alike."""
        return tuple(method for method in self.methods if not isinstance(method, ComputeOptimal))

    @property
    def strategies(self) -> tuple[ComputeOptimal, ...]:
        """The methods that choose for each problem what a strategy says."""
        return tuple(method for method in self.methods if isinstance(method, ComputeOptimal))

    def chosen_selectors(self) -> tuple[SelectorName, ...]:
        """The selectors to report: those listed, or all or the default ones that the recipe's engines allow."""
        if isinstance(self.selectors, tuple):
            return self.selectors
        names = BY_DEFAULT if self.selectors is None else tuple(SELECTORS)
        return tuple(name for name in names if self._lacking(name) is None)

    def _lacking(self, selector: SelectorName) -> str | None:
        """What the recipe's rollouts will not have that a selector reads; None where they will have it."""
        signal = signal_of(selector)
        scores = () if self.prm is None else ("prm",)
        tests = OF_TESTS if isinstance(self.grader.domain, ProgramDomain) else ()
        if signal is None or signal in ("completion_tokens", *scores, *tests):
            return None
        if signal in ("prm", *OF_TESTS):
            return why_unknown(signal)
        if not goes_on_from_steps(self.policy):
            return f"{signal}, but an `openai` policy without `tokenizer` shows no tokens: name its `tokenizer`"
        if signal == "self_certainty":
            return why_unknown(signal)
        if signal != "logprob_mean" and self.sampling.confidence is False:
            return f"{signal}, and `sampling.confidence: false` keeps none: leave that out"
        return None

    def budgets_of(self, method: AnyMethod) -> tuple[int, ...]:
        """The budgets that a method's rollouts can answer, ascending; its own n always, smaller ones if they can."""
        if not method.independent:
            return (method.n,)
        return tuple(sorted({n for n in self.budgets if n <= method.n} | {method.n}))
