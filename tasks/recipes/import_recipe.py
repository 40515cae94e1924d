"""The recipe of an import, made of the options of `overthink import`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from overthink.tasks.datasets.row_layouts import DOMAIN_FIELDS
from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.domains.domain import Extraction
from overthink.tasks.domains.known_domains import MATH, DomainName, domain_of
from overthink.tasks.errors import UserError
from overthink.tasks.importers.imported_reasoning import ANY, families_of
from overthink.tasks.importers.lm_eval import COLUMNS as LM_EVAL_COLUMNS
from overthink.tasks.importers.mapped_jsonl import parse_mapping
from overthink.tasks.importers.score_transforms import ScoreTransform
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.loading import option_value
from overthink.tasks.recipes.recipe import AnyRecipe

WhichSelectors = Literal["default", "all"]
MAPPED = ("jsonl", "lm-eval", "inspect")  # formats of which `--map` names columns
ImportFormat = Literal["compute-optimal-tts", "search-and-learn", "answer-counts", "lm-eval", "inspect", "jsonl"]


def _known_marks(option: str) -> str:
    families_of(option)
    return option


ReasoningOption = Annotated[str, AfterValidator(_known_marks)]


class ImportRecipe(AnyRecipe):
    """Rollouts that another tool stored, and how to grade them.

    `columns` maps our names to those of a JSONL's columns, or of a document of lm-eval. The path is part of no key, and
    `reasoning` only by what it cuts off.
    """

    command = "import"
    own_key = "format"

    format: ImportFormat
    path: Path
    columns: Mapping[str, str] = Field(default_factory=dict)
    domain: DomainName = MATH.name
    domain_options: Mapping[str, JsonValue] = Field(default={}, description="what the domain takes, such as tolerance")
    independent: bool = Field(default=False, description="any rollouts of a problem stand for a smaller budget")
    score_transform: ScoreTransform = Field(default="none", description="how raw scores come into [0, 1]")
    explode: bool = Field(default=False, description="a row of the JSONL holds several rollouts")
    reasoning: ReasoningOption = Field(default=ANY, description="the marks of reasoning: any, none, or which")
    selectors: WhichSelectors = Field(default="default", description="those of answers and scores, or all that apply")
    grading: GradingConfig = GradingConfig(extraction="lenient")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("domain")
    @classmethod
    def _with_its_columns(cls, name: str, known: ValidationInfo) -> str:
        """An import brings questions, references and texts, and of what else a domain grades by what is mapped."""
        layout, columns = known.data.get("format"), known.data.get("columns", {})
        for field in (field for field in domain_of(name).needed_fields if field not in columns):
            remedy = f"name their column: --map {field}=COLUMN" if layout in MAPPED else f"{layout} does not bring them"
            raise ValueError(f"its answers are graded by {field}, {remedy}")
        return name

    @field_validator("domain_options")
    @classmethod
    def _taken_by_the_domain(cls, options: Mapping[str, Any], known: ValidationInfo) -> Mapping[str, Any]:
        if "domain" in known.data:  # otherwise it is wrong itself
            domain_of(known.data["domain"]).configured(options, known.data.get("seed", 0))
        return options

    @property
    def grader(self) -> Grader:
        """Who reads, groups and grades the answers."""
        return Grader(domain_of(self.domain).configured(self.domain_options, self.seed), self.grading)


@dataclass(frozen=True)
class JsonlOptions:
    """How a JSONL is read: `mapping` says `ours=theirs` for each column; the rest as in ImportRecipe."""

    mapping: list[str]
    score_transform: ScoreTransform = "none"
    explode: bool = False


@dataclass(frozen=True)
class GradedAs:
    """The name of a domain, how answers are read in it, the marks of the reasoning before them, and what chooses.

    `domain_options` are KEY=VALUE.
    """

    domain: str = MATH.name
    domain_options: tuple[str, ...] = ()
    extraction: Extraction = "lenient"
    reasoning: str = ANY
    selectors: WhichSelectors = "default"


def import_recipe(
    layout: ImportFormat,
    path: Path,
    jsonl: JsonlOptions,
    name: str | None,
    graded: GradedAs,
    independent: bool,
) -> ImportRecipe:
    """The recipe of an import. Raises UserError for what is no name or no mapping of this format."""
    _only_what_it_takes(layout, jsonl)
    columns = _columns(layout, jsonl.mapping, graded.domain)
    options = _domain_options(graded.domain_options)
    if jsonl.score_transform != "none" and "scores" not in columns:
        raise UserError("--score-transform is of scores: say which column holds them, as in --map scores=reward")
    try:
        return ImportRecipe(
            name=layout if name is None else name,
            format=layout,
            path=path,
            columns=columns,
            domain=graded.domain,
            domain_options=options,
            independent=independent,
            score_transform=jsonl.score_transform,
            explode=jsonl.explode,
            reasoning=graded.reasoning,
            selectors=graded.selectors,
            grading=GradingConfig(extraction=graded.extraction),
        )
    except ValidationError as error:
        (wrong, *_) = error.errors()
        reason = wrong["msg"].removeprefix("Value error, ")
        option = str(wrong["loc"][0]).replace("_", "-")
        raise UserError(f"--{option} {wrong['input']}: {reason}") from error


def _only_what_it_takes(layout: ImportFormat, jsonl: JsonlOptions) -> None:
    """Raise UserError for an option that is not of this format."""
    others = {"explode": jsonl.explode, "score-transform": jsonl.score_transform != "none"}
    if layout not in MAPPED and jsonl.mapping:
        raise UserError(f"--map is for {', '.join(MAPPED)}: {layout} says itself what its fields hold")
    if layout != "jsonl":
        for option in (name for name, given in others.items() if given):
            raise UserError(f"--{option} is for jsonl: {layout} says itself what its fields hold")


def _columns(layout: ImportFormat, mapping: list[str], domain: str) -> dict[str, str]:
    """The columns by our names: those of the format, those of the domains that ship, and those of this one."""
    try:
        further = dict.fromkeys((*DOMAIN_FIELDS, *domain_of(domain).grading_fields))
    except ValueError as error:
        raise UserError(f"--domain: {error}") from error
    if layout == "jsonl":
        return parse_mapping(mapping, [*further])
    return named_columns(mapping, [*(LM_EVAL_COLUMNS if layout == "lm-eval" else ()), *further])


def _domain_options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, mark, text = pair.partition("=")
        if not mark:
            raise UserError(f"--domain-options takes KEY=VALUE, not {pair!r}; for example tolerance=0.01")
        options[key] = option_value(f"--domain-options {key}", text)
    return options
