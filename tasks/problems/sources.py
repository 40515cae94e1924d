"""Where problems come from: chains, a local JSONL or Parquet file, a Hugging Face data set; every row is checked."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storage.keys import content_key
from tasks.errors import ProblemError
from tasks.problems.chains import LONGEST_CHAIN, Split, generate_chains
from tasks.records import Problem


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Frozen):
    """Which column of a file holds what. Without `problem_id`, rows are numbered from 0."""

    question: str = "question"
    reference: str = "answer"
    problem_id: str | None = None
    level: str | None = None
    subject: str | None = None
    reference_after: str | None = Field(default=None, description="keep only what follows the last of this mark")


PRESETS: dict[str, Columns] = {
    "math500": Columns(
        question="problem", reference="answer", problem_id="unique_id", level="level", subject="subject"
    ),
    "aime24": Columns(question="problem", reference="extracted_groundtruth"),
    "amc23": Columns(question="problem", reference="extracted_groundtruth"),
    "gsm8k": Columns(question="question", reference="answer", reference_after="####"),
}


class ChainsSource(_Frozen):
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


class FileSource(_Frozen):
    """A local file, `.jsonl` or `.parquet`, laid out as a preset or by a column mapping."""

    source: Literal["file"]
    path: Path
    preset: Literal["math500", "aime24", "amc23", "gsm8k"] | None = None
    columns: Columns | None = None
    limit: int | None = Field(default=None, ge=1)

    @property
    def layout(self) -> Columns:
        """The mapping to read by: the recipe's own, the preset's, or `question` and `answer`."""
        return self.columns or PRESETS.get(self.preset or "", Columns())


class HubSource(_Frozen):
    """A Hugging Face data set at a revision; needs a network or a filled cache."""

    source: Literal["hub"]
    dataset: str
    revision: str
    split: str = "test"
    config: str | None = None
    preset: Literal["math500", "aime24", "amc23", "gsm8k"] | None = None
    columns: Columns | None = None
    limit: int | None = Field(default=None, ge=1)

    @property
    def layout(self) -> Columns:
        """The mapping to read by: the recipe's own, the preset's, or `question` and `answer`."""
        return self.columns or PRESETS.get(self.preset or "", Columns())


Source = Annotated[ChainsSource | FileSource | HubSource, Field(discriminator="source")]


class ProblemSet(_Frozen):
    """Checked problems. `dropped` holds the complaints about rows left out with `--skip-bad-rows`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    domain: str
    problems: tuple[Problem, ...]
    dropped: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The domain and a digest of all ids, questions and references: different sets have different names."""
        return f"{self.domain}@{content_key([[p.problem_key, p.reference] for p in self.problems])[:8]}"


def load_problems(source: ChainsSource | FileSource | HubSource, skip_bad_rows: bool = False) -> ProblemSet:
    """Read and check a problem set.

    Raises ProblemError naming file, row and field of the first bad row, unless bad rows are to be skipped.
    """
    match source:
        case ChainsSource():
            return _chains(source)
        case FileSource():
            rows = _file_rows(source.path)
            return _checked(rows, str(source.path), source.path.stem, source.layout, source.limit, skip_bad_rows)
        case HubSource():
            rows = _hub_rows(source)
            place = f"{source.dataset} ({source.split})"
            return _checked(rows, place, source.dataset.split("/")[-1], source.layout, source.limit, skip_bad_rows)


def problem_key(problem_id: str, question: str) -> str:
    """The content address of a problem: of what a policy and a PRM see of it, and of its id."""
    return content_key([problem_id, question])


def _chains(source: ChainsSource) -> ProblemSet:
    try:
        chains = generate_chains(source.split, source.count, source.shortest, source.longest, source.seed)
    except ValueError as error:
        raise ProblemError(f"chains: {error}") from error
    problems = []
    for chain in chains:
        # Named by content, so that a larger set of the same chains shares its rollouts with a smaller one.
        problem_id = f"chain-{len(chain.operations):02d}-{content_key(chain.question)[:12]}"
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
    return ProblemSet(domain=f"chains-{source.split}", problems=tuple(problems))


Row = tuple[str, Mapping[str, Any] | ProblemError]  # where it stands, and what stands there


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix not in (".jsonl", ".parquet"):
        raise ProblemError(f"{path}: problems are read from .jsonl or .parquet files; rename or convert it")
    try:
        if path.suffix == ".parquet":
            for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
                yield f"{path}, row {number}", row
            return
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"{path}, row {number}", _parsed(line, f"{path}, row {number}")
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}): check `problems.path`") from error


def _parsed(line: bytes, place: str) -> Mapping[str, Any] | ProblemError:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return ProblemError(f"{place}: not JSON ({error})")
    return value if isinstance(value, dict) else ProblemError(f"{place}: not a JSON object")


def _hub_rows(source: HubSource) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise ProblemError("data sets of the hub need a package: pip install datasets") from error
    try:
        rows = datasets.load_dataset(source.dataset, source.config, split=source.split, revision=source.revision)
    except Exception as error:  # the client raises its own, the network's and the file system's errors
        raise ProblemError(
            f"cannot load data set {source.dataset} at {source.revision}: {type(error).__name__}: {error}; check name "
            "and network, or download it and use `source: file`"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{source.dataset} ({source.split}), row {number}", row


def _checked(
    rows: Iterable[Row], place: str, domain: str, columns: Columns, limit: int | None, skip_bad_rows: bool
) -> ProblemSet:
    problems: dict[str, Problem] = {}
    dropped: list[str] = []
    for index, (where, row) in enumerate(rows):
        if len(problems) == limit:
            break
        try:
            problem = _problem(where, index, row, domain, columns)
            if problem.problem_id in problems:
                raise ProblemError(f"{where}: id {problem.problem_id!r} ({columns.problem_id}) is there twice")
            problems[problem.problem_id] = problem
        except ProblemError as error:
            if not skip_bad_rows:
                raise ProblemError(f"{error}; mend the row, or drop such rows with --skip-bad-rows") from error
            dropped.append(str(error))
    if not problems:
        raise ProblemError(f"{place}: no usable problem in it")
    return ProblemSet(domain=domain, problems=tuple(problems.values()), dropped=tuple(dropped))


def _problem(where: str, index: int, row: Mapping[str, Any] | ProblemError, domain: str, columns: Columns) -> Problem:
    if isinstance(row, ProblemError):
        raise row
    question = _text(where, row, columns.question)
    reference = _text(where, row, columns.reference)
    if columns.reference_after is not None:
        _, mark, reference = reference.rpartition(columns.reference_after)
        if not mark or not reference.strip():
            raise ProblemError(f"{where}: field {columns.reference!r} has nothing after {columns.reference_after!r}")
    problem_id = str(index) if columns.problem_id is None else _text(where, row, columns.problem_id)
    return Problem(
        problem_key=problem_key(problem_id, question),
        problem_id=problem_id,
        question=question,
        reference=reference.strip(),
        domain=domain,
        level=_optional(row, columns.level),
        subject=_optional(row, columns.subject),
    )


def _text(where: str, row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if value is None:
        raise ProblemError(f"{where}: field {field!r} is missing (fields there: {', '.join(map(str, row))})")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ProblemError(f"{where}: field {field!r} is a {type(value).__name__}, not text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ProblemError(f"{where}: field {field!r} is {value}, not a number")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProblemError(f"{where}: field {field!r} is not valid Unicode text") from error
    if not text:
        raise ProblemError(f"{where}: field {field!r} is empty")
    return text


def _optional(row: Mapping[str, Any], field: str | None) -> str | None:
    value = None if field is None else row.get(field)
    return None if value is None else str(value)
