"""Sources of problems, as a recipe names them: chains, specs, a local file, a Hugging Face data set, questions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from overthink.tasks.datasets.chains import LONGEST_CHAIN
from overthink.tasks.datasets.presets import NAMED_PRESET, PresetName, preset_of
from overthink.tasks.datasets.row_layouts import Columns, Preset, SourceModel
from overthink.tasks.datasets.specs import MOST_CLAUSES
from overthink.tasks.datasets.splits import Split
from overthink.tasks.domains.known_domains import MATH, DomainName


def _one_of_both(value: Any, _: Any) -> Any:
    """A mapping is a preset in full, so that a mistake in it is told as such, and no union's two answers are."""
    if value is None:
        return None
    is_full = isinstance(value, Mapping | Preset)
    return Preset.model_validate(value) if is_full else NAMED_PRESET.validate_python(value)


def columns_of(preset: PresetName | Preset | None) -> Columns | None:
    """The columns that a preset says; None without one."""
    found = preset_of(preset)
    return None if found is None else found.columns


class ChainsSource(SourceModel, title="chains, generated"):
    """Generated chains of one split; their lengths cycle through `shortest`..`longest`."""

    source: Literal["chains"]
    split: Split = Field(default="test", description="which of the disjoint parts; the embedded models saw `train`")
    count: int = Field(ge=1, description="problems")
    shortest: int = Field(default=1, ge=1, le=LONGEST_CHAIN, description="steps of the shortest chain")
    longest: int = Field(default=LONGEST_CHAIN, ge=1, le=LONGEST_CHAIN, description="steps of the longest chain")
    seed: int = Field(default=0, description="of the draw of problems")

    @model_validator(mode="after")
    def _lengths_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is more than longest = {self.longest}")
        return self


class SpecsSource(SourceModel, title="programs, generated"):
    """Generated programming problems of one split; their numbers of clauses cycle through `shortest`..`longest`."""

    source: Literal["specs"]
    split: Split = Field(default="test", description="which of the disjoint parts; the embedded models saw `train`")
    count: int = Field(ge=1, description="problems")
    shortest: int = Field(default=1, ge=1, le=MOST_CLAUSES, description="clauses of the shortest specification")
    longest: int = Field(default=MOST_CLAUSES, ge=1, le=MOST_CLAUSES, description="clauses of the longest one")
    seed: int = Field(default=0, description="of the draw of problems")

    @model_validator(mode="after")
    def _numbers_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is more than longest = {self.longest}")
        return self


class RowsSource(SourceModel):
    """Rows of a data set, laid out as a preset or by a column mapping; of both, the mapping's columns go first."""

    preset: Annotated[PresetName | Preset | None, WrapValidator(_one_of_both)] = Field(
        default=None, description="columns and domain of a known data set: a name, or spelled out"
    )
    columns: Columns | None = Field(default=None, description="which column holds what, over the preset's")
    limit: int | None = Field(default=None, ge=1, description="rows to read, from the first; all unless named")

    @field_validator("columns")
    @classmethod
    def _over_the_preset(cls, columns: Columns | None, info: ValidationInfo) -> Columns | None:
        """The columns that the recipe names, and the preset's for the rest; written out they stay the same."""
        preset = columns_of(info.data.get("preset"))
        if columns is None or preset is None:
            return columns
        return Columns.model_validate(preset.model_dump() | columns.model_dump(exclude_unset=True))

    @property
    def layout(self) -> Columns:
        """The mapping to read by: the recipe's own, the preset's, or `question` and `answer`."""
        return self.columns or columns_of(self.preset) or Columns()


class FileSource(RowsSource, title="file"):
    """A local file: `.jsonl`, a `.json` array, `.csv` or `.parquet`."""

    source: Literal["file"]
    path: Path = Field(description="the file")


class HubSource(RowsSource, title="Hugging Face hub"):
    """A Hugging Face data set at a revision; needs a network or a filled cache."""

    source: Literal["hub"]
    dataset: str = Field(description="its name on the hub")
    revision: str = Field(description="a commit, branch or tag")
    split: str = Field(default="test", description="which of its splits")
    config: str | None = Field(default=None, description="which of its configurations, where it has several")


class QuestionsSource(SourceModel, title="questions, written here"):
    """Questions in the recipe itself, without known answers."""

    source: Literal["questions"]
    questions: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...] = Field(
        min_length=1, description="what is asked"
    )


AnySource = ChainsSource | SpecsSource | FileSource | HubSource | QuestionsSource
Source = Annotated[AnySource, Field(discriminator="source")]


def domain_of_source(source: AnySource | None) -> DomainName:
    """The domain of a source's problems, where the recipe names none."""
    if isinstance(source, SpecsSource):
        return "code"
    preset = preset_of(source.preset) if isinstance(source, RowsSource) else None
    return MATH.name if preset is None else preset.domain


def options_of_source(source: AnySource | None, domain: DomainName) -> Mapping[str, JsonValue]:
    """The options of the domain that a source's preset has."""
    preset = preset_of(source.preset) if isinstance(source, RowsSource) else None
    return preset.domain_options if preset is not None and preset.domain == domain else {}


def has_references(source: AnySource) -> bool:
    """Whether a source's problems have references, so that rollouts can be graded."""
    match source:
        case ChainsSource() | SpecsSource():
            return True
        case QuestionsSource():
            return False
        case RowsSource():
            return source.layout.reference is not None
