"""Other tools' JSON, checked by pydantic models: whatever does not fit is refused by file, line and field."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticSerializationError

from overthink.tasks.datasets.input_files import LONGEST_LINE, bounded_bytes, json_objects, json_value, packed_objects
from overthink.tasks.datasets.rows import missing_field
from overthink.tasks.errors import ProblemError
from overthink.tasks.pydantic_words import plain


class Record(BaseModel):
    """A record of another tool: no conversions; unknown fields are allowed."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def _nan_is_unknown(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


Score = Annotated[Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(_nan_is_unknown)]
RawScore = Annotated[float | None, BeforeValidator(_nan_is_unknown)]
Number = Annotated[float | None, BeforeValidator(_nan_is_unknown)]
Tokens = Annotated[int, Field(ge=0, lt=2**31)]
Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Checked = TypeVar("Checked", bound=BaseModel)


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each JSON object of a file, one a line, with its place; gzip may have packed it.

    Raises ProblemError; blank lines are passed over.
    """
    objects = packed_objects if path.suffix == ".gz" else json_objects
    try:
        for number, value in objects(path):
            if isinstance(value, str):
                raise ProblemError(f"{path}, line {number}: {value}")
            yield f"{path}, line {number}", value
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}): check the path") from error


def json_document(path: Path) -> Any:
    """The JSON value that a whole file holds. Raises ProblemError."""
    try:
        data = bounded_bytes(path, LONGEST_LINE)
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}): check the path") from error
    try:
        return json_value(data)
    except ValueError as error:
        raise ProblemError(f"{path}: {error}") from error


def checked(model: type[Checked], value: Any, where: str, columns: Mapping[str, str] | None = None) -> Checked:
    """`value` as a record. Raises ProblemError naming place and field; `columns` are the fields' names in the file."""
    try:
        found = model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise ProblemError(f"{where}: not a JSON object") from error
        name, *rest = (str(part) for part in first["loc"])
        place = ".".join([(columns or {}).get(name, name), *rest])
        if first["type"] == "missing":
            there = value if isinstance(value, dict) else [type(value).__name__]
            raise ProblemError(f"{where}: {missing_field(place, there)}") from error
        raise ProblemError(f"{where}: field {place!r}: {plain(first)}; mend the record, or leave it out") from error
    for name in (*model.model_fields, *(found.model_extra or ())):
        _stored(found, name, where, (columns or {}).get(name, name))
    return found


def _stored(record: BaseModel, name: str, where: str, field: str) -> None:
    """Raise ProblemError where a field of a record holds text that no table can, half a surrogate pair."""
    try:
        record.model_dump_json(include={name})
    except PydanticSerializationError as error:
        raise ProblemError(f"{where}: field {field!r} is not valid Unicode text; mend it, or leave it out") from error


def same_length(where: str, field: str, count: int, expected: int, what: str) -> None:
    """Raise ProblemError where a field holds another number of values than there are `what`."""
    if count != expected:
        raise ProblemError(f"{where}: field {field!r} has {count} values for {expected} {what}")
