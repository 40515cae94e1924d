"""The recipe of a sweep: a grid of problem sets, policies and PRMs, and the methods and budgets that each pair gets."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Self

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    RootModel,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.datasets.sources import Source, domain_of_source
from overthink.tasks.domains.known_domains import DomainName
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.pydantic_words import plain
from overthink.tasks.recipes.grading import GradingConfig
from overthink.tasks.recipes.methods import AnyMethod
from overthink.tasks.recipes.reasoning_config import Reasoning, ReasoningConfig
from overthink.tasks.recipes.recipe import LISTED_SELECTORS, AnyRecipe, ListedSelectors, Recipe
from overthink.tasks.recipes.sampling_config import SamplingConfig

METHODS: TypeAdapter[AnyMethod] = TypeAdapter(AnyMethod)


class SweptMethod(RootModel[dict[str, Any]]):
    """A method as a recipe names it, but for its n, which follows from the budgets."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _valid_but_for_n(self) -> Self:
        if "n" in self.root:
            raise ValueError("n follows from `budgets`: leave it out")
        try:
            self.at(1)
        except ValidationError as error:
            if not _is_about_n(error):
                raise
        return self

    def at(self, n: int) -> AnyMethod:
        """The method with this n; cot has none. Raises ValidationError where n does not suit its other parameters."""
        return METHODS.validate_python(self.root if self.root.get("method") == "cot" else self.root | {"n": n})

    def sized(self, budgets: Sequence[int], pilot: int) -> tuple[list[AnyMethod], list[str]]:
        """The method at every n that answers a budget, and why some n are left out.

        Independent rollouts answer each smaller budget, so the largest n does. Others get n = budget, to be compared,
        and n = budget - pilot, to follow a pilot in a strategy.
        """
        sizes = sorted({*budgets, *(budget - pilot for budget in budgets if budget > pilot)})
        methods: list[AnyMethod] = []
        left_out: list[str] = []
        for n in sizes:
            try:
                methods.append(self.at(n))
            except ValidationError as error:
                left_out.append(f"{self.root['method']}: {plain(error.errors()[0])}")
        return (methods[-1:], []) if methods and methods[0].independent else (methods, left_out)


def _is_about_n(error: ValidationError) -> bool:
    """Whether all parameters are right by themselves, and only n = 1 does not suit them."""
    return all(detail["type"] == "value_error" and len(detail["loc"]) == 1 for detail in error.errors())


class SweepRecipe(AnyRecipe):
    """A grid: each problem set with each policy and each PRM is a run, of the same methods under the same budgets."""

    command = "sweep"
    own_key = "policies"

    problems: tuple[Source, ...] = Field(min_length=1, description="where the problems come from")
    domain: DomainName | None = Field(default=None, description="of all problems; by default what each preset says")
    domain_options: Mapping[str, JsonValue] = Field(default={}, description="what the domain takes")
    prompt: PromptConfig = Field(default=PromptConfig(), description="what is said to the policies")
    policies: tuple[PolicyConfig, ...] = Field(min_length=1, description="the models that write")
    prms: tuple[PrmConfig, ...] = Field(default=(), description="none: only methods and selectors that need no scores")
    methods: tuple[SweptMethod, ...] = Field(min_length=1, description="without n")
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, description="numbers of rollouts a problem")
    selectors: ListedSelectors = LISTED_SELECTORS
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="how the policies draw tokens")
    reasoning: Reasoning = Field(default=ReasoningConfig(), description="what they think before their answers")
    grading: GradingConfig = Field(default=GradingConfig(), description="how answers are found and compared")
    difficulty: DifficultyConfig = Field(default=DifficultyConfig(), description="its pilot sizes what follows one")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("problems", "policies", "prms", "methods", "budgets")
    @classmethod
    def _no_two_equal(cls, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        for place, entry in enumerate(entries):
            if entry in entries[:place]:
                raise ValueError(f"entries {entries.index(entry)} and {place} are equal: leave one out")
        return entries

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for place, method in enumerate(self.methods):
            fitting, left_out = method.sized(self.budgets, self.difficulty.pilot)
            if not fitting:
                raise ValueError(f"methods.{place} suits no budget: {left_out[-1]}")
        methods = self.sized_methods()
        needing = [method.method_id for method in methods if method.is_guided]
        if needing and not self.prms:
            raise ValueError(f"{needing[0]} needs step scores: list `prms`")
        for budget in self.budgets:
            if not any(m.n == budget or (m.independent and m.n > budget) for m in methods):
                raise ValueError(f"budget {budget} can be answered by no method: leave it out, or add best_of_n")
        self.recipes()
        return self

    def sized_methods(self) -> tuple[AnyMethod, ...]:
        """The methods of every run."""
        return tuple(sized for method in self.methods for sized in method.sized(self.budgets, self.difficulty.pilot)[0])

    def left_out(self) -> list[str]:
        """Which n a method does not get, and why."""
        return [line for method in self.methods for line in method.sized(self.budgets, self.difficulty.pilot)[1]]

    def recipes(self) -> list[Recipe]:
        """A recipe for each run: each problem set with each policy with each PRM, in the order they are listed."""
        return [
            Recipe(
                name=self.name,
                seed=self.seed,
                problems=problems,
                domain=self.domain or domain_of_source(problems),
                domain_options=self.domain_options,
                prompt=self.prompt,
                policy=policy,
                prm=prm,
                methods=self.sized_methods(),
                budgets=self.budgets,
                selectors=self.selectors,
                sampling=self.sampling,
                reasoning=self.reasoning,
                grading=self.grading,
                difficulty=self.difficulty,
                shard_size=self.shard_size,
            )
            for problems, policy, prm in product(self.problems, self.policies, self.prms or (None,))
        ]
