"""The recipe: the whole description of a run, read from YAML and checked before anything starts."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flows.forms import as_choices
from flows.methods import AnyMethod, BestOfN
from tasks.analysis.difficulty import DifficultyConfig
from tasks.analysis.selectors import SELECTORS, Selector, needs_prm
from tasks.engines.config import OpenAIPolicyConfig, PolicyConfig, PrmConfig
from tasks.errors import UserError
from tasks.problems.answers import Extraction
from tasks.problems.labelled import SolutionSource
from tasks.problems.sources import Source
from tasks.training.config import TrainingConfig


def _no_boolean(value: Any) -> Any:
    """YAML reads `yes` as true, which pydantic would take for 1."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no valid integer")
    return value


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


BY_CHAT = (
    "goes on from steps, but an `openai` policy without `tokenizer` is asked by chat, which shows no tokens to go on "
    "from as they were written: serve the model with vLLM and name its `tokenizer`"
)


def _goes_on_from_steps(policy: PolicyConfig) -> bool:
    return not isinstance(policy, OpenAIPolicyConfig) or policy.tokenizer is not None


class SamplingConfig(_Frozen):
    """How the policy draws tokens, in every method but cot, which is greedy (defaults: paper section 2)."""

    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=8192, ge=1, description="tokens of one solution")
    step_delimiter: str = Field(default="\n\n", min_length=1)


class GradingConfig(_Frozen):
    """How answers are found and compared."""

    extraction: Extraction = "boxed"
    time_limit_seconds: float = Field(default=5.0, gt=0, description="for one comparison of two answers")


class AnyRecipe(_Frozen):
    """What all recipes hold. `command` runs them; `own_key` is one that only recipes of that command have."""

    command: ClassVar[str]
    own_key: ClassVar[str]

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    seed: Annotated[int, BeforeValidator(_no_boolean)] = Field(default=0, ge=0, lt=2**31)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema that the form of a deployment is drawn from."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        own["properties"] = as_choices(own["properties"])
        return schema


class Recipe(AnyRecipe):
    """A run: which problems, which policy and PRM, which methods, budgets and selectors."""

    command = "run"
    own_key = "methods"

    problems: Source
    policy: PolicyConfig
    prm: PrmConfig | None = None
    methods: tuple[AnyMethod, ...] = Field(min_length=1)
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    selectors: tuple[Selector, ...] | None = Field(default=None, description="all that apply, unless listed")
    sampling: SamplingConfig = SamplingConfig()
    grading: GradingConfig = GradingConfig()
    difficulty: DifficultyConfig = Field(default=DifficultyConfig(), description="of strategies; changes no result")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("selectors")
    @classmethod
    def _listed_once(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        twice = [value for value in values or () if (values or ()).count(value) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is listed twice")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        identities = [method.method_id for method in self.methods]
        if len(set(identities)) != len(identities):
            raise ValueError("a method is listed twice with the same parameters")
        largest = max(method.n for method in self.methods)
        if max(self.budgets) > largest:
            raise ValueError(f"budget {max(self.budgets)} is more than the {largest} rollouts of any method: raise n")
        wanting = [selector for selector in self.selectors or () if needs_prm(selector)]
        if wanting and self.prm is None:
            raise ValueError(f"selector {wanting[0]} needs step scores: name a `prm`")
        searches = [method.method_id for method in self.methods if method.is_search]
        if searches and self.prm is None:
            raise ValueError(f"{searches[0]} needs step scores: name a `prm`")
        if searches and not _goes_on_from_steps(self.policy):
            raise ValueError(f"{searches[0]} {BY_CHAT}, or choose cot, best_of_n or adaptive")
        return self

    def chosen_selectors(self) -> tuple[Selector, ...]:
        """The selectors to report: those listed, or all that the recipe's engines allow."""
        if self.selectors is not None:
            return self.selectors
        return tuple(name for name in SELECTORS if self.prm is not None or not needs_prm(name))

    def budgets_of(self, method: AnyMethod) -> tuple[int, ...]:
        """The budgets that a method's rollouts can answer, ascending; its own n always, smaller ones if they can."""
        if not method.independent:
            return (method.n,)
        return tuple(sorted({n for n in self.budgets if n <= method.n} | {method.n}))


class PrmEvalRecipe(AnyRecipe):
    """A PRM held against solutions whose first wrong step is known."""

    command = "prm-eval"
    own_key = "solutions"

    solutions: SolutionSource
    prm: PrmConfig
    threshold_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of the questions whose solutions choose the threshold, not judged by it",
    )
    shard_size: int = Field(default=50, ge=1, description="solutions a task; changes no result")


class PrmTrainRecipe(AnyRecipe):
    """A PRM trained on a policy's rollouts, whose steps are labelled by where the policy gets from them."""

    command = "prm-train"
    own_key = "training"

    problems: Source
    policy: PolicyConfig
    rollouts: int = Field(default=16, ge=1, description="of each problem")
    continuations: int = Field(default=8, ge=1, description="from each step of each rollout")
    sampling: SamplingConfig = SamplingConfig()
    grading: GradingConfig = GradingConfig()
    training: TrainingConfig
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("policy")
    @classmethod
    def _continued(cls, policy: PolicyConfig) -> PolicyConfig:
        if not _goes_on_from_steps(policy):
            raise ValueError(f"labelling {BY_CHAT}")
        return policy

    def rolling_out(self) -> Recipe:
        """The recipe of the rollouts, which any run of the same policy and sampling shares."""
        return Recipe(
            name=self.name,
            seed=self.seed,
            problems=self.problems,
            policy=self.policy,
            methods=(BestOfN(method="best_of_n", n=self.rollouts),),
            budgets=(self.rollouts,),
            sampling=self.sampling,
            grading=self.grading,
            shard_size=self.shard_size,
        )


KINDS: tuple[type[AnyRecipe], ...] = (Recipe, PrmEvalRecipe, PrmTrainRecipe)
Kind = TypeVar("Kind", bound=AnyRecipe)


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with Overthink, by name."""
    folder = Path(str(files("recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """A recipe's file: a path, or the name of a shipped one. Raises UserError with what there is."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if path.parent in (Path(), Path("recipes")) and path.stem in shipped:
        return shipped[path.stem]
    raise UserError(f"there is no recipe {name!r}: name a YAML file, or one of {', '.join(shipped)}")


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe of `overthink run`. See `read_recipe_of`."""
    return read_recipe_of(Recipe, path, changes)


def read_recipe_of(kind: type[Kind], path: Path, changes: Sequence[str] = ()) -> Kind:
    """Read a recipe and apply `--set KEY=VALUE` changes. Raises UserError naming file, key and remedy."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys to values; see `overthink recipes`")
    for other in KINDS:
        if other.own_key in value and kind.own_key not in value:
            raise UserError(f"{path}: this recipe names {other.own_key}, so it is one of `overthink {other.command}`")
    for change in changes:
        _apply(value, change)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path}: {_complaints(error, value)}") from error


def _apply(value: dict[str, Any], change: str) -> None:
    key, mark, text = change.partition("=")
    if not mark:
        raise UserError(f"--set takes KEY=VALUE, not {change!r}; for example --set problems.count=20")
    place: Any = value
    *parents, last = key.split(".")
    for parent in parents:
        place = _child(place, parent, key)
    try:
        new = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"--set {key}: {text!r} is no YAML value") from error
    if isinstance(place, list):
        _child(place, last, key)
        place[int(last)] = new
    elif isinstance(place, dict):
        place[last] = new
    else:
        raise UserError(f"--set {key}: {parents[-1]!r} holds a plain value, so nothing can be set inside it")


def _child(place: Any, name: str, key: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(name, {})
    if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
        return place[int(name)]
    raise UserError(f"--set {key}: there is no {name!r} in the recipe")


def _complaints(error: ValidationError, value: Any) -> str:
    lines = []
    details = error.errors()
    places = [detail["loc"] for detail in details]
    for detail in details:
        # A list whose every item is wrong is also called too short: the items say it better.
        if any(place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"] for place in places):
            continue
        place = ".".join(_written_keys(detail["loc"], value)) or "recipe"
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "unknown key"
        lines.append(f"{place}: {message}")
    return "; ".join(lines)


def _written_keys(location: tuple[int | str, ...], value: Any) -> list[str]:
    """The keys of a complaint as they stand in the file: pydantic puts the names of unions' members between them."""
    keys: list[str] = []
    for depth, part in enumerate(location):
        is_last = depth == len(location) - 1
        if isinstance(value, dict) and (part in value or (is_last and part not in value.values())):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        keys.append(str(part))
    return keys
