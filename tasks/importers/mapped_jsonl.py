"""Any JSONL with one rollout a line: `--map KEY=COLUMN` says which column holds what."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from overthink.tasks.datasets.rows import named_columns
from overthink.tasks.datasets.sources import problem_key
from overthink.tasks.errors import ProblemError, UserError
from overthink.tasks.importers.fields import Filled, Record, Score, Tokens, checked, json_lines, same_length
from overthink.tasks.importers.imported import (
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    ImportedStep,
    Reported,
    powers_of_two,
)
from overthink.tasks.records import Problem

DOMAIN = "jsonl"  # never the file's name: a path is part of no key
STEP_DELIMITER = "\n\n"


class MappedRow(Record):
    """One line, by our names for its columns."""

    question: Filled
    reference: Filled
    text: str | None = None
    steps: list[str] | None = None
    scores: list[Score] | None = None
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


REQUIRED = ("question", "reference")


def parse_mapping(pairs: list[str]) -> dict[str, str]:
    """`KEY=COLUMN` pairs by key. Raises UserError for an unknown or missing key."""
    columns = named_columns(pairs, list(MappedRow.model_fields))
    missing = [key for key in REQUIRED if key not in columns]
    if not {"text", "steps"} & set(columns):
        missing.append("text or steps")
    if missing:
        raise UserError(f"--map lacks {', '.join(missing)}; for example --map question=problem --map text=completion")
    return columns


def read_mapped_jsonl(path: Path, columns: Mapping[str, str], independent: bool) -> ImportedSet:
    """Read a file. Raises ProblemError naming line and column of the first row that cannot be used."""
    if path.is_dir():
        raise ProblemError(f"{path} is a folder: name a .jsonl file")
    rows: dict[str, list[tuple[str, MappedRow]]] = {}
    for where, value in json_lines(path):
        row = _row(where, value, columns)
        name = row.question if row.problem_id is None else str(row.problem_id)
        rows.setdefault(name, []).append((where, row))
    if not rows:
        raise ProblemError(f"{path}: no row in it")
    named = "problem_id" in columns
    problems = tuple(_problem(name if named else str(index), found) for index, (name, found) in enumerate(rows.items()))
    counts = [len(problem.rollouts) for problem in problems]
    if independent:
        problems = tuple(map(_with_tokens, problems))
    return ImportedSet(
        domain=DOMAIN,
        method_id=f"jsonl-n{max(counts)}",
        n=max(counts),
        budgets=powers_of_two(min(counts) if independent else max(counts)),
        independent=independent,
        is_scored="scores" in columns,
        problems=problems,
    )


def _row(where: str, value: Mapping[str, Any], columns: Mapping[str, str]) -> MappedRow:
    for key, column in columns.items():
        # A column that was named must be there in every row, and only tokens, answers and labels may be unknown.
        if column not in value or (value[column] is None and key not in ("tokens", "answer", "correct")):
            there = ", ".join(value)
            raise ProblemError(f"{where}: field {column!r} ({key}) is missing or null (fields there: {there})")
    row = checked(MappedRow, {key: value[column] for key, column in columns.items()}, where, columns)
    if row.scores is not None:
        same_length(where, columns["scores"], len(row.scores), len(row.pieces), "steps")
    return row


def _problem(problem_id: str, rows: list[tuple[str, MappedRow]]) -> ImportedProblem:
    first_place, first = rows[0]
    for where, row in rows:
        if (row.question, row.reference) != (first.question, first.reference):
            raise ProblemError(f"{where}: problem {problem_id} has another question or reference than in {first_place}")
    if first.sample_index is not None:
        rows = sorted(rows, key=lambda row: row[1].sample_index or 0)
        for (_, one), (where, other) in pairwise(rows):
            if one.sample_index == other.sample_index:
                raise ProblemError(f"{where}: problem {problem_id} has sample {other.sample_index} twice")
    key = problem_key(problem_id, first.question)
    problem = Problem(key, problem_id, first.question, first.reference, DOMAIN)
    reported = tuple(
        Reported("answer", "answer", sample_index=index, answer=row.answer, correct=row.correct)
        for index, (_, row) in enumerate(rows)
        if row.answer is not None or row.correct is not None
    )
    return ImportedProblem(problem, tuple(_rollout(row) for _, row in rows), reported)


def _rollout(row: MappedRow) -> ImportedRollout:
    pieces = row.pieces
    scores = row.scores or [None] * len(pieces)
    text = STEP_DELIMITER.join(pieces) if row.text is None else row.text
    return ImportedRollout(text, tuple(map(ImportedStep, pieces, scores)), row.tokens)


def _with_tokens(problem: ImportedProblem) -> ImportedProblem:
    """Of independent rollouts nothing was pruned: what a problem cost is what they hold."""
    tokens = [rollout.completion_tokens for rollout in problem.rollouts]
    known = [count for count in tokens if count is not None]
    total = sum(known) if len(known) == len(tokens) else None
    spent = Reported("tokens", "policy_tokens", value=total)
    return ImportedProblem(problem.problem, problem.rollouts, (*problem.reported, spent))
