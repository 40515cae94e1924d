"""The recipe of an import, made of the options of `overthink import`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator

from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.domains.domain import Extraction
from overthink.tasks.domains.known_domains import MATH, DomainName, domain_of
from overthink.tasks.errors import UserError
from overthink.tasks.importers.imported_reasoning import ANY, families_of
from overthink.tasks.importers.lm_eval import COLUMNS as LM_EVAL_COLUMNS
from overthink.tasks.importers.mapped_jsonl import parse_mapping
from overthink.tasks.importers.score_transforms import ScoreTransform
from overthink.tasks.recipes.grading import Grader, GradingConfig
from overthink.tasks.recipes.recipe import AnyRecipe

WhichSelectors = Literal["default", "all"]
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
    independent: bool = Field(default=False, description="any rollouts of a problem stand for a smaller budget")
    score_transform: ScoreTransform = Field(default="none", description="how raw scores come into [0, 1]")
    explode: bool = Field(default=False, description="a row of the JSONL holds several rollouts")
    reasoning: ReasoningOption = Field(default=ANY, description="the marks of reasoning: any, none, or which")
    selectors: WhichSelectors = Field(default="default", description="those of answers and scores, or all that apply")
    grading: GradingConfig = GradingConfig(extraction="lenient")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")

    @field_validator("domain")
    @classmethod
    def _graded_by_texts(cls, name: str) -> str:
        """An import brings questions, references and texts; what else a domain grades by would silently be missing."""
        wanted = () if name == MATH.name else domain_of(name).grading_fields
        if wanted:
            raise ValueError(
                f"its answers are graded by {' and '.join(wanted)}, which an import does not bring: grade these "
                "rollouts where they were made, or draw new ones by `overthink run`"
            )
        return name

    @property
    def grader(self) -> Grader:
        """Who reads, groups and grades the answers."""
        return Grader(domain_of(self.domain), self.grading)


@dataclass(frozen=True)
class JsonlOptions:
    """How a JSONL is read: `mapping` says `ours=theirs` for each column; the rest as in ImportRecipe."""

    mapping: list[str]
    score_transform: ScoreTransform = "none"
    explode: bool = False


@dataclass(frozen=True)
class GradedAs:
    """The name of a domain, how answers are read in it, the marks of the reasoning before them, and what chooses."""

    domain: str = MATH.name
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
    columns = _columns(layout, jsonl.mapping)
    if jsonl.score_transform != "none" and "scores" not in columns:
        raise UserError("--score-transform is of scores: say which column holds them, as in --map scores=reward")
    try:
        return ImportRecipe(
            name=layout if name is None else name,
            format=layout,
            path=path,
            columns=columns,
            domain=graded.domain,
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
        raise UserError(f"--{wrong['loc'][0]} {wrong['input']}: {reason}") from error


def _only_what_it_takes(layout: ImportFormat, jsonl: JsonlOptions) -> None:
    """Raise UserError for an option that is not of this format."""
    others = {"explode": jsonl.explode, "score-transform": jsonl.score_transform != "none"}
    if layout not in ("jsonl", "lm-eval") and jsonl.mapping:
        raise UserError(f"--map is for jsonl and lm-eval: {layout} says itself what its fields hold")
    if layout != "jsonl":
        for option in (name for name, given in others.items() if given):
            raise UserError(f"--{option} is for jsonl: {layout} says itself what its fields hold")


def _columns(layout: ImportFormat, mapping: list[str]) -> dict[str, str]:
    if layout == "jsonl":
        return parse_mapping(mapping)
    return named_columns(mapping, LM_EVAL_COLUMNS)
