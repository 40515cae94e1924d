"""What a domain grades by besides texts, such as options or units: fields of a problem, out of another tool's row."""

import json
from collections.abc import Mapping
from typing import Any

from overthink.tasks.datasets.rows import inner_field, missing_field
from overthink.tasks.datasets.user_turns import row_fields
from overthink.tasks.errors import ProblemError


def fields_in(where: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row's columns by our names for them, as JSON has them; `a.0.b` is a column inside others.

    Commas stand between several columns, of which the values are a list. A value may be null. Raises ProblemError
    naming the place, the column and our name for it, where there is no such column, or it holds half a character.
    """
    found: dict[str, Any] = {}
    for key, column in columns.items():
        if column in row or "," not in column:
            found[key] = _value(where, row, column, key)
        else:
            found[key] = [_value(where, row, one, key) for one in column.split(",")]
    fields = row_fields(found)
    for key, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            told = f"field {columns[key]!r} ({key}) is not valid Unicode text; mend it, or leave it out"
            raise ProblemError(f"{where}: {told}") from error
    return fields


def _value(where: str, row: Mapping[str, Any], column: str, key: str) -> Any:
    value = inner_field(row, column)
    if value is None and column not in row and column.partition(".")[0] not in row:
        raise ProblemError(f"{where}: {missing_field(column, row)}: it is the {key}")
    return value


def further_columns(columns: Mapping[str, str], own: tuple[str, ...]) -> dict[str, str]:
    """The columns of a mapping that are no format's `own`: those that a domain takes."""
    return {key: column for key, column in columns.items() if key not in own}
