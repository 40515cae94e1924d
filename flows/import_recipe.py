"""The recipe of an import, made of the options of `overthink import`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from flows.recipe import AnyRecipe, GradingConfig
from tasks.domains.math.extraction import Extraction
from tasks.errors import UserError
from tasks.importers.mapped_jsonl import parse_mapping
from tasks.importers.score_transforms import ScoreTransform

ImportFormat = Literal["compute-optimal-tts", "search-and-learn", "jsonl"]


class ImportRecipe(AnyRecipe):
    """Rollouts that another tool stored, and how to grade them.

    `columns` maps our names to those of a JSONL's columns. The path is part of no key.
    """

    command = "import"
    own_key = "format"

    format: ImportFormat
    path: Path
    columns: Mapping[str, str] = Field(default_factory=dict)
    independent: bool = Field(default=False, description="any rollouts of a problem stand for a smaller budget")
    score_transform: ScoreTransform = Field(default="none", description="how raw scores come into [0, 1]")
    explode: bool = Field(default=False, description="a row of the JSONL holds several rollouts")
    grading: GradingConfig = GradingConfig(extraction="lenient")
    shard_size: int = Field(default=50, ge=1, description="problems a task; changes no result")


def import_recipe(
    layout: ImportFormat,
    path: Path,
    mapping: list[str],
    name: str | None,
    extraction: Extraction,
    independent: bool,
    score_transform: ScoreTransform = "none",
    explode: bool = False,
) -> ImportRecipe:
    """The recipe of an import. Raises UserError for what is no name or no mapping of this format."""
    if layout != "jsonl":
        for option, given in (("map", mapping), ("explode", explode), ("score-transform", score_transform != "none")):
            if given:
                raise UserError(f"--{option} is for jsonl: {layout} says itself what its fields hold")
    columns = parse_mapping(mapping) if layout == "jsonl" else {}
    if score_transform != "none" and "scores" not in columns:
        raise UserError("--score-transform is of scores: say which column holds them, as in --map scores=reward")
    try:
        return ImportRecipe(
            name=layout if name is None else name,
            format=layout,
            path=path,
            columns=columns,
            independent=independent,
            score_transform=score_transform,
            explode=explode,
            grading=GradingConfig(extraction=extraction),
        )
    except ValidationError as error:
        raise UserError(f"--name {name}: {error.errors()[0]['msg']}") from error
