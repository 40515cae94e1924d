"""Sources of problems: chains, specs, a local JSONL or Parquet file, a Hugging Face data set; every row is checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from overthink.storage.keys import content_key
from overthink.tasks.datasets.chains import LONGEST_CHAIN, Chain, generate_chains
from overthink.tasks.datasets.presets import NAMED_PRESET, PresetName, preset_of
from overthink.tasks.datasets.row_layouts import Columns, Preset, SourceModel
from overthink.tasks.datasets.row_problems import check_named, row_problem
from overthink.tasks.datasets.rows import Row, ending_of, file_rows, hub_rows, inner_field, usable
from overthink.tasks.datasets.spec_tests import GradedSpec, generate_specs
from overthink.tasks.datasets.specs import MOST_CLAUSES
from overthink.tasks.datasets.splits import Split
from overthink.tasks.datasets.user_turns import Asking, problem_key, row_fields
from overthink.tasks.domains.known_domains import MATH, DomainName, domain_of
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def _one_of_both(value: Any, _: Any) -> Any:
    """A mapping is a preset in full, so that a mistake in it is told as such, and no union's two answers are."""
    if value is None:
        return None
    is_full = isinstance(value, Mapping | Preset)
    return Preset.model_validate(value) if is_full else NAMED_PRESET.validate_python(value)


def _columns_of(preset: PresetName | Preset | None) -> Columns | None:
    found = preset_of(preset)
    return None if found is None else found.columns


class ChainsSource(SourceModel):
    """Generated chains of one split; their lengths cycle through `shortest`..`longest`."""

    source: Literal["chains"]
    split: Split = "test"
    count: int = Field(ge=1)
    shortest: int = Field(default=1, ge=1, le=LONGEST_CHAIN)
    longest: int = Field(default=LONGEST_CHAIN, ge=1, le=LONGEST_CHAIN)
    seed: int = 0

    @model_validator(mode="after")
    def _lengths_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is more than longest = {self.longest}")
        return self


class SpecsSource(SourceModel):
    """Generated programming problems of one split; their numbers of clauses cycle through `shortest`..`longest`."""

    source: Literal["specs"]
    split: Split = "test"
    count: int = Field(ge=1)
    shortest: int = Field(default=1, ge=1, le=MOST_CLAUSES)
    longest: int = Field(default=MOST_CLAUSES, ge=1, le=MOST_CLAUSES)
    seed: int = 0

    @model_validator(mode="after")
    def _numbers_in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is more than longest = {self.longest}")
        return self


class RowsSource(SourceModel):
    """Rows of a data set, laid out as a preset or by a column mapping; of both, the mapping's columns go first."""

    preset: Annotated[PresetName | Preset | None, WrapValidator(_one_of_both)] = None
    columns: Columns | None = None
    limit: int | None = Field(default=None, ge=1)

    @field_validator("columns")
    @classmethod
    def _over_the_preset(cls, columns: Columns | None, info: ValidationInfo) -> Columns | None:
        """The columns that the recipe names, and the preset's for the rest; written out they stay the same."""
        preset = _columns_of(info.data.get("preset"))
        if columns is None or preset is None:
            return columns
        return Columns.model_validate(preset.model_dump() | columns.model_dump(exclude_unset=True))

    @property
    def layout(self) -> Columns:
        """The mapping to read by: the recipe's own, the preset's, or `question` and `answer`."""
        return self.columns or _columns_of(self.preset) or Columns()


class FileSource(RowsSource):
    """A local file: `.jsonl`, a `.json` array, `.csv` or `.parquet`."""

    source: Literal["file"]
    path: Path


class HubSource(RowsSource):
    """A Hugging Face data set at a revision; needs a network or a filled cache."""

    source: Literal["hub"]
    dataset: str
    revision: str
    split: str = "test"
    config: str | None = None


class QuestionsSource(SourceModel):
    """Questions in the recipe itself, without known answers."""

    source: Literal["questions"]
    questions: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...] = Field(min_length=1)


AnySource = ChainsSource | SpecsSource | FileSource | HubSource | QuestionsSource
Source = Annotated[AnySource, Field(discriminator="source")]


class ProblemSet(SourceModel):
    """Checked problems of one domain. `dropped` holds the errors of rows left out with `--skip-bad-rows`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    title: str
    problems: tuple[Problem, ...]
    dropped: tuple[str, ...] = ()
    domain: DomainName = MATH.name

    @property
    def content(self) -> list[Any]:
        """What determines grades: each problem's key and reference, and what else its domain compares answers by."""
        compared = domain_of(self.domain).grading_fields
        found = [
            {name: one.fields[name] for name in compared if one.fields.get(name) is not None} for one in self.problems
        ]
        return [
            [one.problem_key, one.reference, *([fields] if fields else [])]
            for one, fields in zip(self.problems, found, strict=True)
        ]

    @property
    def name(self) -> str:
        """The title and a digest of all ids, questions and references: different sets have different names."""
        content = self.content
        # Sets of mathematics keep the names that they had before there were other domains.
        if self.domain != MATH.name:
            content.append(self.domain)
        return f"{self.title}@{content_key(content)[:8]}"

    def in_domain(self, domain: DomainName) -> "ProblemSet":
        """The same problems in a domain, which each then names; those of mathematics name their set, as before."""
        if domain == MATH.name:
            return self
        problems = tuple(replace(problem, domain=domain) for problem in self.problems)
        return self.model_copy(update={"problems": problems, "domain": domain})


def load_problems(source: AnySource, skip_bad_rows: bool = False, asking: Asking | None = None) -> ProblemSet:
    """Read and check a problem set, asked as a recipe says; without one as mathematics, by the question alone.

    Raises ProblemError naming file, row and field of the first bad row, unless bad rows are to be skipped.
    """
    asking = asking or Asking()
    match source:
        case ChainsSource():
            return _asked(_chains(source), asking)
        case SpecsSource():
            return _asked(_specs(source), asking)
        case QuestionsSource():
            return _asked(_questions(source), asking)
        case FileSource():
            rows = file_rows(source.path, "problems")
            title = source.path.name.removesuffix(ending_of(source.path) or "")
            return _checked(rows, str(source.path), title, RowReading(source, skip_bad_rows, asking))
        case HubSource():
            rows = hub_rows(source.dataset, source.config, source.split, source.revision)
            place = f"{source.dataset} ({source.split})"
            return _checked(rows, place, source.dataset.split("/")[-1], RowReading(source, skip_bad_rows, asking))


def _asked(problem_set: ProblemSet, asking: Asking) -> ProblemSet:
    problems = tuple(asking.asked(one, one.reference, f"problem {one.problem_id}") for one in problem_set.problems)
    return problem_set.model_copy(update={"problems": problems})


def chain_id(chain: Chain) -> str:
    """A chain's id: its length, and a digest of its question."""
    return f"chain-{len(chain.operations):02d}-{content_key(chain.question)[:12]}"


def drawn_chains(source: ChainsSource) -> list[Chain]:
    """The chains of a source. Raises ProblemError where there are too few."""
    try:
        return generate_chains(source.split, source.count, source.shortest, source.longest, source.seed)
    except ValueError as error:
        raise ProblemError(f"chains: {error}") from error


def _chains(source: ChainsSource) -> ProblemSet:
    problems = []
    for chain in drawn_chains(source):
        # Ids depend on the content, so that a larger set of the same chains shares rollouts with a smaller one.
        problem_id = chain_id(chain)
        problems.append(
            Problem(
                problem_key=problem_key(problem_id, chain.question),
                problem_id=problem_id,
                question=chain.question,
                reference=str(chain.values[-1]),
                domain="chains",
                level=str(len(chain.operations)),
                subject="arithmetic",
            )
        )
    return ProblemSet(title=f"chains-{source.split}", problems=tuple(problems))


def _specs(source: SpecsSource) -> ProblemSet:
    try:
        drawn = generate_specs(source.split, source.count, source.shortest, source.longest, source.seed)
    except ValueError as error:
        raise ProblemError(f"specs: {error}") from error
    return ProblemSet(title=f"specs-{source.split}", problems=tuple(map(_spec_problem, drawn)))


def _spec_problem(tested: GradedSpec) -> Problem:
    spec = tested.spec
    problem_id = f"spec-{len(spec.clauses)}-{content_key(spec.question)[:12]}"
    return Problem(
        problem_key=problem_key(problem_id, spec.question),
        problem_id=problem_id,
        question=spec.question,
        reference="\n".join(tested.hidden),
        level=str(len(spec.clauses)),
        subject="programs",
        fields=tested.fields,
    )


def _questions(source: QuestionsSource) -> ProblemSet:
    names = {f"question-{content_key(question)[:12]}": question for question in source.questions}
    problems = [Problem(problem_key(name, question), name, question, None) for name, question in names.items()]
    return ProblemSet(title="questions", problems=tuple(problems))


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


@dataclass(frozen=True)
class RowReading:
    """How rows are read: as their `source` lays them out, and asked as the recipe says."""

    source: RowsSource
    skip_bad_rows: bool
    asking: Asking


def _checked(rows: Iterable[Row], place: str, title: str, reading: RowReading) -> ProblemSet:
    problems: dict[str, Problem] = {}
    dropped: list[str] = []
    columns = reading.source.layout

    def read(where: str, index: int, row: Mapping[str, Any]) -> Problem:
        problem = row_problem(where, index, row, title, columns)
        answer = None if columns.reference is None else row_fields({"": inner_field(row, columns.reference)})[""]
        problem = reading.asking.asked(problem, answer, where)
        if problem.problem_id in problems:
            raise ProblemError(f"{where}: id {problem.problem_id!r} ({columns.problem_id}) is there twice")
        return problem

    for problem in usable(rows, read, reading.skip_bad_rows, dropped):
        problems[problem.problem_id] = problem
        if len(problems) == reading.source.limit:
            break
    if not problems:
        raise ProblemError(f"{place}: no usable problem in it")
    check_named(place, columns, _columns_of(reading.source.preset), problems.values())
    return ProblemSet(title=title, problems=tuple(problems.values()), dropped=tuple(dropped))
