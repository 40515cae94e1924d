"""A row of a data set becomes a problem, by the layout of its columns."""

from collections.abc import Iterable, Mapping
from typing import Any

from overthink.tasks.datasets.references import reference_field
from overthink.tasks.datasets.row_layouts import DOMAIN_FIELDS, Columns
from overthink.tasks.datasets.rows import inner_field, present_field, text_field
from overthink.tasks.datasets.user_turns import problem_key, row_fields
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def row_problem(where: str, index: int, row: Mapping[str, Any], title: str, columns: Columns) -> Problem:
    """The problem of a row, which is the `index`-th of its set from 0. Raises ProblemError naming place and field."""
    question = text_field(where, row, columns.question)
    reference = None
    # A mapping of options to scores, and tests, are read by the domain.
    if columns.tests is None and columns.reference not in (None, columns.options):
        reference = _reference(where, row, str(columns.reference), columns.reference_after)
    problem_id = str(index) if columns.problem_id is None else text_field(where, row, columns.problem_id)
    return Problem(
        problem_key=problem_key(problem_id, question),
        problem_id=problem_id,
        question=question,
        reference=reference,
        domain=title,
        level=_optional(row, columns.level),
        subject=_optional(row, columns.subject),
        fields=row_fields({**row, **_mapped(where, row, columns)}),
    )


def _mapped(where: str, row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """What the layout has for the fields that domains know by name. Raises ProblemError where options are missing."""
    single = [name for name in DOMAIN_FIELDS if name != "options"]
    found = {name: inner_field(row, column) for name in single if (column := getattr(columns, name))}
    if columns.options is None:
        return found
    several = isinstance(columns.options, tuple)
    named = columns.options if isinstance(columns.options, tuple) else (columns.options,)
    options = [present_field(where, row, column) for column in named]
    return {**found, "options": options if several else options[0]}


def _reference(where: str, row: Mapping[str, Any], field: str, after: str | None) -> str:
    text = reference_field(where, row, field)
    if after is None:
        return text
    _, mark, text = text.rpartition(after)
    if not mark or not text.strip():
        raise ProblemError(f"{where}: field {field!r} has nothing after {after!r}")
    return text.strip()


def _optional(row: Mapping[str, Any], field: str | None) -> str | None:
    value = None if field is None else row.get(field)
    return None if value is None else str(value)


def check_named(place: str, columns: Columns, preset: Columns | None, problems: Iterable[Problem]) -> None:
    """Raise ProblemError for a column that a recipe itself names for its domain, and that no row fills."""
    for name in DOMAIN_FIELDS:
        column = getattr(columns, name)
        is_own = column is not None and (preset is None or column != getattr(preset, name))
        if is_own and all(problem.fields.get(name) is None for problem in problems):
            raise ProblemError(
                f"{place}: no row has {column!r}, which `columns` names for {name}: mend or leave out that"
            )
