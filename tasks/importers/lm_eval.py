"""EleutherAI/lm-evaluation-harness with `--log_samples`: files `samples_TASK_DATE.jsonl`, beside `results_DATE.json`.

A line is one document under one filter: several filters repeat it, and its responses are the repeats.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from overthink.tasks.datasets.references import reference_field
from overthink.tasks.datasets.rows import inner_field, text_field
from overthink.tasks.datasets.user_turns import problem_key
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.domain_fields import fields_in, further_columns
from overthink.tasks.importers.fields import Record, checked, json_document, json_lines
from overthink.tasks.importers.imported import (
    ImportedProblem,
    ImportedRollout,
    ImportedSet,
    Measure,
    Reported,
    independent_set,
    steps_in,
)
from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.records import Problem

DOMAIN = "lm-eval"  # never the file's name: a path is part of no key
COLUMNS = ("question", "reference", "level", "subject")  # that `--map` may name in a document
QUESTIONS = ("question", "problem")  # columns that hold it, in any case, where none is named
REFERENCE_AFTER = "####"
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_MAJORITY = re.compile(r"maj@(\d{1,6})")


class SampleRow(Record):
    """One line; its metrics are the further fields that `metrics` names, or all that hold numbers."""

    model_config = ConfigDict(extra="allow")

    doc_id: Annotated[int, Field(ge=0)]
    doc: dict[str, Any]
    target: str | int | float | list[str | int | float]
    arguments: list[Any] | dict[str, Any]
    resps: Annotated[list[Any], Field(min_length=1)]
    filtered_resps: list[Any]
    filter: str = "none"
    metrics: list[str] | None = None


class TaskResults(Record):
    """`results_DATE.json`: the model, and each task's metrics, named with their filters."""

    model_name: str | None = None
    results: dict[str, dict[str, Any]]


def read_lm_eval(path: Path, columns: Mapping[str, str]) -> list[ImportedSet]:
    """The set of each task in a folder, or of one file. Raises ProblemError naming file, line and field."""
    files = _files(path)
    return [_set(file, columns, task if len(files) > 1 else "") for task, file in sorted(files.items())]


def _files(path: Path) -> dict[str, Path]:
    """The samples files by task."""
    if not path.is_dir():
        return {_named(path)[0]: path}
    files: dict[str, Path] = {}
    for file in sorted(path.rglob("samples_*.jsonl")):
        task = _named(file)[0]
        if task in files:
            raise ProblemError(
                f"{path}: task {task} has samples in {files[task]} and in {file}: name one file or folder"
            )
        files[task] = file
    if not files:
        raise ProblemError(f"{path}: no samples_TASK_DATE.jsonl in it or below it: run the harness with --log_samples")
    return files


def _named(file: Path) -> tuple[str, str | None]:
    """The task and the date in a file's name."""
    match = _SAMPLES.fullmatch(file.name)
    return (file.stem, None) if match is None else (match["task"], match["date"])


def _set(path: Path, columns: Mapping[str, str], label: str) -> ImportedSet:
    documents: dict[int, list[tuple[str, SampleRow]]] = {}
    for where, value in json_lines(path):
        row = checked(SampleRow, value, where)
        documents.setdefault(row.doc_id, []).append((where, row))
    if not documents:
        raise ProblemError(f"{path}: no sample in it")
    problems = tuple(_problem(rows, columns) for _, rows in sorted(documents.items()))
    policy, reported = _results(path, next(iter(documents.values()))[0][1])
    return independent_set(
        DOMAIN,
        problems,
        policy=policy,
        reported=reported,
        label=label,
    )


def _problem(rows: list[tuple[str, SampleRow]], columns: Mapping[str, str]) -> ImportedProblem:
    where, first = rows[0]
    texts = _texts(where, first)
    seen: set[str] = set()
    for place, row in rows:
        if row.filter in seen:
            raise ProblemError(f"{place}: document {row.doc_id} is there twice with filter {row.filter!r}")
        if row.resps != first.resps:
            raise ProblemError(f"{place}: document {row.doc_id} has other responses than in {where}")
        seen.add(row.filter)
    said = [one for index, (_, row) in enumerate(rows) for one in _said(row, len(texts), is_first=index == 0)]
    opened = _opened_by(first)
    rollouts = tuple(ImportedRollout(text, steps_in(text), opened=opened) for text in texts)
    problem = _asked(where, first, columns)
    return ImportedProblem(problem, rollouts, tuple(said), _given(first, columns), f"{where}, document {first.doc_id}")


def _opened_by(row: SampleRow) -> str | None:
    """The mark of reasoning that the prompt ends with, as a chat template may write it."""
    prompt = _requests(row)[0][0]
    marks = (known.open for known in FAMILIES.values())
    return next((mark for mark in marks if isinstance(prompt, str) and prompt.rstrip().endswith(mark)), None)


def _requests(row: SampleRow) -> list[Any]:
    """The arguments of each request: a list of lists, or, as files hold them, of mappings."""
    given = row.arguments if isinstance(row.arguments, list) else list(row.arguments.values())
    return [list(each.values()) if isinstance(each, dict) else each for each in given]


def _texts(where: str, row: SampleRow) -> list[str]:
    """The responses of a document to its one prompt."""
    found = row.resps[0]
    requests = _requests(row)
    texts = [isinstance(each, list) and len(each) > 1 and isinstance(each[1], dict) for each in requests]
    if not requests or not all(texts):
        raise ProblemError(
            f"{where}: no text was generated, for its task compares log-likelihoods of given answers: import a task "
            "of output_type generate_until"
        )
    if (
        len(row.resps) > 1
        or not isinstance(found, list)
        or not found
        or not all(isinstance(each, str) for each in found)
    ):
        raise ProblemError(f"{where}: field 'resps' is no list with one list of texts, the responses to one prompt")
    return found


def _given(row: SampleRow, columns: Mapping[str, str]) -> Any:
    """The reference as the document has it, a text without the solution before it."""
    given = inner_field(row.doc, columns["reference"]) if "reference" in columns else row.target
    return _final(given) if isinstance(given, str) else given


def _asked(where: str, row: SampleRow, columns: Mapping[str, str]) -> Problem:
    question = text_field(where, row.doc, columns.get("question") or _question_column(where, row.doc))
    problem_id = str(row.doc_id)
    return Problem(
        problem_key(problem_id, question),
        problem_id,
        question,
        _reference(where, row, columns),
        DOMAIN,
        level=_named_text(where, row.doc, "level", columns),
        subject=_named_text(where, row.doc, "subject", columns),
        fields=fields_in(where, row.doc, further_columns(columns, COLUMNS)),
    )


def _reference(where: str, row: SampleRow, columns: Mapping[str, str]) -> str | None:
    """The reference as a text; None of a mapping, which only its domain reads."""
    if isinstance(_given(row, columns), Mapping):
        return None
    document = row.doc if "reference" in columns else {"target": row.target}
    return _final(reference_field(where, document, columns.get("reference", "target")))


def _named_text(where: str, document: Mapping[str, Any], name: str, columns: Mapping[str, str]) -> str | None:
    """A column that must be there if `--map` names it, and may be there under its own name."""
    column = columns.get(name, name)
    known = name in columns or isinstance(document.get(column), (str, int))
    return text_field(where, document, column) if known else None


def _question_column(where: str, document: Mapping[str, Any]) -> str:
    for name in QUESTIONS:
        for column in document:
            if column.lower() == name:
                return column
    there = ", ".join(document)
    raise ProblemError(f"{where}: no column of 'doc' is known to hold the question: --map question=COLUMN, of {there}")


def _final(reference: str) -> str:
    """The answer in a reference that is a whole solution: what follows "####", or its last box."""
    *_, last = reference.rpartition(REFERENCE_AFTER)
    return MATH.boxed(last) or last.strip() or reference


def _said(row: SampleRow, count: int, is_first: bool) -> list[Reported]:
    """A filter's metrics with its answer; the first metric of the first filter is the label of a rollout that is alone.

    A filter named `maj@N` chose by majority among the first N.
    """
    majority = _MAJORITY.fullmatch(row.filter)
    n = int(majority[1]) if majority else None
    chosen = n is not None and n <= count
    alone = row.filtered_resps[0] if len(row.filtered_resps) == 1 else None
    said = []
    for number, (name, value) in enumerate(_metrics(row).items()):
        measure: Measure | None = None
        if number == 0 and (chosen or (is_first and count == 1)):
            measure = "choice" if chosen else "answer"
        said.append(
            Reported(
                f"{name},{row.filter}",
                measure,
                sample_index=0 if count == 1 else None,
                selector="majority" if chosen else None,
                n=n if chosen else None,
                answer=alone if isinstance(alone, str) else None,
                correct=bool(value) if value in (0, 1) else None,
                value=value,
            )
        )
    return said


def _metrics(row: SampleRow) -> dict[str, float]:
    """The numbers that metrics gave, in their order."""
    fields = row.model_extra or {}
    named = fields if row.metrics is None else row.metrics
    found = {name: fields.get(name) for name in named}
    return {
        name: float(value) for name, value in found.items() if isinstance(value, (int, float)) and math.isfinite(value)
    }


def _results(path: Path, row: SampleRow) -> tuple[str | None, tuple[Reported, ...]]:
    """The model, and the metrics of a task, from the results file of the same date; nothing where it is not there."""
    task, date = _named(path)
    file = path.with_name(f"results_{date}.json")
    if date is None or not file.is_file():
        return None, ()
    found = checked(TaskResults, json_document(file), str(file))
    main = [f"{name},{row.filter}" for name in _metrics(row)][:1]
    said = [
        Reported(f"results.{name}", "accuracy" if name in main else None, value=float(value))
        for name, value in found.results.get(task, {}).items()
        if isinstance(value, (int, float)) and math.isfinite(value) and "," in name
    ]
    return found.model_name or None, tuple(said)
