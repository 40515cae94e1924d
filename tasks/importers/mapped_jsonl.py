"""Any JSONL of rollouts, with one or several per line: `--map KEY=COLUMN` names the columns.

A score is of each step, or one of the whole rollout, which then is one step.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from overthink.tasks.datasets.references import reference_field
from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.importers.domain_fields import fields_in, further_columns
from overthink.tasks.importers.fields import Filled, RawScore, Record, Tokens, checked, json_lines, same_length
from overthink.tasks.importers.imported import (
    STEP_DELIMITER,
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    ImportedStep,
    Reported,
    powers_of_two,
    with_tokens,
)
from overthink.tasks.importers.score_transforms import ScoreTransform, score_transform
from overthink.tasks.records import Problem

DOMAIN = "jsonl"  # never the file's name: a path is part of no key


class MappedRow(Record):
    """One line, by our names for its columns."""

    question: Filled
    reference: Filled | None = None
    text: str | None = None
    steps: list[str] | None = None
    scores: list[RawScore] | None = None
    answer: str | None = None
    correct: bool | None = None
    tokens: Tokens | None = None
    problem_id: str | int | None = None
    sample_index: Annotated[int, Field(ge=0)] | None = None

    @property
    def pieces(self) -> list[str]:
        """The steps, or those of the text: its parts between blank lines."""
        if self.steps is not None:
            return self.steps
        return [piece.strip() for piece in (self.text or "").split(STEP_DELIMITER) if piece.strip()]


class PosedRow(MappedRow):
    """One line with what its domain takes: further `fields`, and the reference as the file has it."""

    fields: dict[str, Any]
    given: Any


KEYS = tuple(MappedRow.model_fields)
MAYBE_UNKNOWN = ("tokens", "answer", "correct")
OF_A_ROLLOUT = ("text", "steps", "scores", "answer", "correct", "tokens", "sample_index")


def parse_mapping(pairs: list[str], further: Sequence[str] = (), programs: bool = False) -> dict[str, str]:
    """`KEY=COLUMN` pairs by key; `further` are the keys of domains. Raises UserError for an unknown or missing key.

    What grades `programs` is tests, what grades any other answer a reference.
    """
    columns = named_columns(pairs, [*KEYS, *further])
    missing = [] if "question" in columns else ["question"]
    if not {"reference", "tests"} & set(columns):  # the reference of a program are its tests
        missing.append("tests" if programs else "reference")
    if not {"text", "steps"} & set(columns):
        missing.append("text or steps")
    if missing:
        raise UserError(f"--map lacks {', '.join(missing)}; for example --map question=problem --map text=completion")
    return columns


def read_mapped_jsonl(
    path: Path,
    columns: Mapping[str, str],
    independent: bool,
    transform: ScoreTransform = "none",
    explode: bool = False,
) -> ImportedSet:
    """Read a file. Where rows `explode`, each holds several rollouts: the columns of a rollout are lists of one length.

    Raises ProblemError naming line and column of the first row that cannot be used.
    """
    if path.is_dir():
        raise ProblemError(f"{path} is a folder: name a .jsonl file")
    rows: dict[str, list[tuple[str, PosedRow]]] = {}
    for where, value in _rollouts_of(path, columns) if explode else json_lines(path):
        row = _row(where, value, columns)
        name = row.question if row.problem_id is None else str(row.problem_id)
        rows.setdefault(name, []).append((where, row))
    if not rows:
        raise ProblemError(f"{path}: no row in it")
    named = "problem_id" in columns
    read = [row for found in rows.values() for _, row in found]
    scale = score_transform(transform, (score for row in read for score in row.scores or [] if score is not None))
    problems = tuple(
        _problem(name if named else str(index), found, columns, scale)
        for index, (name, found) in enumerate(rows.items())
    )
    counts = [len(problem.rollouts) for problem in problems]
    if independent:
        problems = tuple(with_tokens(problem, "tokens") for problem in problems)
    return ImportedSet(
        domain=DOMAIN,
        method_id=f"jsonl-n{max(counts)}",
        n=max(counts),
        budgets=powers_of_two(min(counts) if independent else max(counts)),
        independent=independent,
        is_scored="scores" in columns,
        problems=problems,
    )


def _rollouts_of(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file whose rows hold several rollouts each, as rows of one."""
    for where, value in json_lines(path):
        lists: dict[str, list[Any]] = {}
        for key, column in columns.items():
            found = value.get(column)
            if key in OF_A_ROLLOUT and not (found is None and key in MAYBE_UNKNOWN):
                if not isinstance(found, list) or not found:
                    raise ProblemError(f"{where}: field {column!r} ({key}) is no list with a value for each rollout")
                # An unknown score is written as null here, and as NaN where it stands alone.
                lists[column] = [math.nan if each is None and key == "scores" else each for each in found]
        count = len(next(iter(lists.values())))
        for column, found in lists.items():
            same_length(where, column, len(found), count, "rollouts")
        for index in range(count):
            yield f"{where}, rollout {index}", value | {column: found[index] for column, found in lists.items()}


def _row(where: str, value: Mapping[str, Any], columns: Mapping[str, str]) -> PosedRow:
    own = {key: column for key, column in columns.items() if key in KEYS}
    for key, column in own.items():
        # A mapped column must be in every row, and only tokens, answers and labels may be null.
        if column not in value or (value[column] is None and key not in MAYBE_UNKNOWN):
            there = ", ".join(value)
            raise ProblemError(f"{where}: field {column!r} ({key}) is missing or null (fields there: {there})")
    values = {key: value[column] for key, column in own.items()}
    values |= _answer(where, value, columns.get("reference"))
    values["fields"] = fields_in(where, value, further_columns(columns, KEYS))
    scores = values.get("scores")
    if isinstance(scores, (int, float)) and not isinstance(scores, bool):
        values["scores"] = [scores]
        # One score is of all that was written.
        values.setdefault("steps", [values.get("text")])
    row = checked(PosedRow, values, where, columns)
    if row.scores is not None:
        same_length(where, columns["scores"], len(row.scores), len(row.pieces), "steps")
    return row


def _answer(where: str, value: Mapping[str, Any], column: str | None) -> dict[str, Any]:
    """The reference as the file has it, and as text where it is no mapping, which only its domain reads."""
    given = None if column is None else value[column]
    if column is None or isinstance(given, Mapping):
        return {"reference": None, "given": given}
    return {"reference": reference_field(where, value, column), "given": given}


def _problem(
    problem_id: str, rows: list[tuple[str, PosedRow]], columns: Mapping[str, str], scale: Callable[[float], float]
) -> ImportedProblem:
    first_place, first = rows[0]
    for where, row in rows:
        if (row.question, row.reference) != (first.question, first.reference):
            raise ProblemError(f"{where}: problem {problem_id} has another question or reference than in {first_place}")
        for name in (name for name in row.fields if row.fields[name] != first.fields[name]):
            raise ProblemError(f"{where}: problem {problem_id} has other {name} than in {first_place}")
    if first.sample_index is not None:
        rows = sorted(rows, key=lambda row: row[1].sample_index or 0)
        for (_, one), (where, other) in pairwise(rows):
            if one.sample_index == other.sample_index:
                raise ProblemError(f"{where}: problem {problem_id} has sample {other.sample_index} twice")
    key = problem_key(problem_id, first.question)
    problem = Problem(key, problem_id, first.question, first.reference, DOMAIN, fields=first.fields)
    reported = tuple(
        Reported("answer", "answer", sample_index=index, answer=row.answer, correct=row.correct)
        for index, (_, row) in enumerate(rows)
        if row.answer is not None or row.correct is not None
    )
    rollouts = tuple(_rollout(where, row, columns.get("scores", ""), scale) for where, row in rows)
    return ImportedProblem(problem, rollouts, reported, first.given, first_place)


def _rollout(where: str, row: MappedRow, column: str, scale: Callable[[float], float]) -> ImportedRollout:
    pieces = row.pieces
    try:
        scores = [None if score is None else scale(score) for score in row.scores or [None] * len(pieces)]
    except ValueError as error:
        raise ProblemError(f"{where}: field {column!r}: {error}") from error
    text = STEP_DELIMITER.join(pieces) if row.text is None else row.text
    return ImportedRollout(text, tuple(map(ImportedStep, pieces, scores)), row.tokens)
