"""The recipe of an import, made of the options of `overthink import`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from overthink.tasks.datasets.row_layouts import DOMAIN_FIELDS
from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.domains.domain import Extraction
from overthink.tasks.domains.known_domains import DOMAINS, MATH, DomainName, domain_of
from overthink.tasks.errors import UserError
from overthink.tasks.importers.import_words import ANY, ImportFormat, WhichSelectors
from overthink.tasks.importers.imported_reasoning import families_of
from overthink.tasks.importers.lm_eval import COLUMNS as LM_EVAL_COLUMNS
from overthink.tasks.importers.mapped_jsonl import parse_mapping
from overthink.tasks.importers.score_transforms import ScoreTransform
from overthink.tasks.pydantic_words import plain
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.loading import option_value
from overthink.tasks.recipes.recipe import AnyRecipe

CODE = "code"
MAPPED = ("jsonl", "lm-eval", "inspect")  # formats of which `--map` names columns
OF_PROGRAMS = "codet"  # which always brings a program's tests, and nothing else


def _known_marks(option: str) -> str:
    families_of(option)
    return option


def _other_taker(field: str, name: str) -> str | None:
    """The domain that grades by a field, where the domain of this name does not; None where that takes it, or none."""
    if field in domain_of(name).grading_fields:
        return None
    return next((other for other, domain in DOMAINS.items() if field in domain.grading_fields), None)


ReasoningOption = Annotated[str, AfterValidator(_known_marks)]


class ImportRecipe(AnyRecipe):
    """Rollouts that another tool stored, and how to grade them.

    `columns` maps our names to those of a JSONL's columns, of lm-eval's documents or of inspect's samples. Paths are
    part of no key, and `reasoning` only by what it cuts off.
    """

    command = "import"
    own_key = "format"

    format: ImportFormat = Field(description="which tool stored them, and how")
    path: Path = Field(description="the file or folder")
    columns: Mapping[str, str] = Field(default_factory=dict, description="our names, and those of the file's columns")
    problems: Path | None = Field(default=None, validate_default=True, description="of codet: the problems' file")
    domain: DomainName = Field(
        default=None,
        validate_default=True,
        description="what kind of task the problems are; by default math, of codet code",
        json_schema_extra={"default": MATH.name},
    )
    domain_options: Mapping[str, JsonValue] = Field(default={}, description="what the domain takes, such as tolerance")
    independent: bool = Field(default=False, description="any rollouts of a problem stand for a smaller budget")
    score_transform: ScoreTransform = Field(default="none", description="how raw scores come into [0, 1]")
    explode: bool = Field(default=False, description="a row of the JSONL holds several rollouts")
    reasoning: ReasoningOption = Field(default=ANY, description="the marks of reasoning: any, none, or which")
    selectors: WhichSelectors = Field(default="default", description="those of answers and scores, or all that apply")
    grading: GradingConfig = Field(
        default=GradingConfig(extraction="lenient"), description="how answers are found and compared"
    )
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("problems")
    @classmethod
    def _of_codet(cls, path: Path | None, known: ValidationInfo) -> Path | None:
        if known.data.get("format") == OF_PROGRAMS and path is None:
            raise ValueError("codet's files name no problem: name the file that has them, such as HumanEval.jsonl.gz")
        if known.data.get("format") != OF_PROGRAMS and path is not None:
            raise ValueError(f"it is for codet: {known.data.get('format')} brings its problems itself")
        return path

    @field_validator("domain", mode="before")
    @classmethod
    def _that_of_the_format(cls, name: Any, known: ValidationInfo) -> Any:
        of_programs = known.data.get("format") == OF_PROGRAMS
        if of_programs and name not in (None, CODE):
            raise ValueError(f"codet brings programs, which the domain {CODE} grades: leave it out")
        return (CODE if of_programs else MATH.name) if name is None else name

    @field_validator("domain")
    @classmethod
    def _with_its_columns(cls, name: str, known: ValidationInfo) -> str:
        """An import brings questions, references and texts, and of what else a domain grades by what is mapped."""
        layout, columns = known.data.get("format"), known.data.get("columns", {})
        for field in (field for field in domain_of(name).needed_fields if field not in columns):
            remedy = f"name their column: --map {field}=COLUMN" if layout in MAPPED else f"{layout} does not bring them"
            raise ValueError(f"its answers are graded by {field}, {remedy}")
        for field, other in ((field, _other_taker(field, name)) for field in columns):
            if other is not None:
                raise ValueError(f"{name} takes no {field}, which --map names: leave it out, or name --domain {other}")
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
class ReadAs:
    """How the files are read: `mapping` says `ours=theirs` for each column; the rest as in ImportRecipe."""

    mapping: list[str]
    score_transform: ScoreTransform = "none"
    explode: bool = False
    problems: Path | None = None


@dataclass(frozen=True)
class GradedAs:
    """How answers are read and graded, by which domain, the marks of the reasoning before them, and what chooses.

    Without a `domain` it is that of the format. `domain_options` are KEY=VALUE.
    """

    domain: str | None = None
    domain_options: tuple[str, ...] = ()
    extraction: Extraction = "lenient"
    reasoning: str = ANY
    selectors: WhichSelectors = "default"


def import_recipe(
    layout: ImportFormat,
    path: Path,
    read_as: ReadAs,
    name: str | None,
    graded: GradedAs,
    independent: bool,
) -> ImportRecipe:
    """The recipe of an import. Raises UserError for what is no name or no mapping of this format."""
    _only_what_it_takes(layout, read_as)
    columns = _columns(layout, read_as.mapping, graded.domain)
    options = _domain_options(graded.domain_options)
    if read_as.score_transform != "none" and "scores" not in columns:
        raise UserError("--score-transform is of scores: say which column holds them, as in --map scores=reward")
    try:
        return ImportRecipe(
            name=layout if name is None else name,
            format=layout,
            path=path,
            columns=columns,
            problems=read_as.problems,
            domain=graded.domain,
            domain_options=options,
            independent=independent,
            score_transform=read_as.score_transform,
            explode=read_as.explode,
            reasoning=graded.reasoning,
            selectors=graded.selectors,
            grading=GradingConfig(extraction=graded.extraction),
        )
    except ValidationError as error:
        (wrong, *_) = error.errors()
        option = str(wrong["loc"][0]).replace("_", "-")
        given = "" if wrong["input"] is None or wrong["type"] != "value_error" else f" {wrong['input']}"
        raise UserError(f"--{option}{given}: {plain(wrong)}") from error


def _only_what_it_takes(layout: ImportFormat, read_as: ReadAs) -> None:
    """Raise UserError for an option that is not of this format."""
    others = {"explode": read_as.explode, "score-transform": read_as.score_transform != "none"}
    if layout not in MAPPED and read_as.mapping:
        raise UserError(f"--map is for {', '.join(MAPPED)}: {layout} says itself what its fields hold")
    if layout != "jsonl":
        for option in (name for name, given in others.items() if given):
            raise UserError(f"--{option} is for jsonl: {layout} says itself what its fields hold")


def _columns(layout: ImportFormat, mapping: list[str], domain: str | None) -> dict[str, str]:
    """The columns by our names: those of the format, those of the domains that ship, and those of this one."""
    try:
        further = dict.fromkeys((*DOMAIN_FIELDS, *(domain_of(domain).grading_fields if domain else ())))
    except ValueError as error:
        raise UserError(f"--domain: {error}") from error
    if layout == "jsonl":
        return parse_mapping(mapping, [*further], domain == CODE)
    return named_columns(mapping, [*(LM_EVAL_COLUMNS if layout == "lm-eval" else ()), *further])


def _domain_options(pairs: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        key, mark, text = pair.partition("=")
        if not mark:
            raise UserError(f"--domain-options takes KEY=VALUE, not {pair!r}; for example tolerance=0.01")
        options[key] = option_value(f"--domain-options {key}", text)
    return options
