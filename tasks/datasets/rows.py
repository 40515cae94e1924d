"""Rows of a data set, from a file or the hub: each with its place, and its content or error."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from overthink.tasks.closest import closest, which
from overthink.tasks.datasets.input_files import READERS
from overthink.tasks.errors import ProblemError, UserError

Row = tuple[str, Mapping[str, Any] | ProblemError]  # its place, and its content or error
Item = TypeVar("Item")
NUMBERS = (int, float, Decimal, np.integer, np.floating)


def file_rows(path: Path, what: Literal["problems", "solutions"]) -> Iterator[Row]:
    """The rows of a file of `what` the recipe names, by the suffix of its name. Raises ProblemError."""
    ending = ending_of(path)
    if ending is None:
        raise ProblemError(f"{path}: {what} are read from {', '.join(READERS)} files; rename or convert it")
    try:
        for number, row in READERS[ending](path):
            place = f"{path}, row {number}"
            yield place, ProblemError(f"{place}: {row}") if isinstance(row, str) else row
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: cannot be read ({error}): check `{what}.path`") from error


def ending_of(path: Path) -> str | None:
    """The ending of a file's name by which it is read; None for others."""
    return next((ending for ending in READERS if path.name.endswith(ending)), None)


def hub_rows(dataset: str, config: str | None, split: str, revision: str) -> Iterator[Row]:
    """The rows of a Hugging Face data set. Raises ProblemError where it cannot be loaded."""
    try:
        import datasets
    except ImportError as error:
        raise ProblemError("data sets of the hub need a package: pip install datasets") from error
    try:
        rows = datasets.load_dataset(dataset, config, split=split, revision=revision)
    except Exception as error:  # the client raises its own, the network's and the file system's errors
        raise ProblemError(
            f"cannot load data set {dataset} at {revision}: {type(error).__name__}: {error}; check name and network, "
            "or download it and use `source: file`"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{dataset} ({split}), row {number}", row


def usable(
    rows: Iterable[Row],
    read: Callable[[str, int, Mapping[str, Any]], Item],
    skip_bad_rows: bool,
    dropped: list[str],
) -> Iterator[Item]:
    """The results of `read` for each row's place, number from 0, and value.

    Raises ProblemError for a row that it refuses; where bad rows are skipped, appends the error to `dropped`.
    """
    for index, (where, row) in enumerate(rows):
        try:
            if isinstance(row, ProblemError):
                raise row
            item = read(where, index, row)
        except ProblemError as error:
            if not skip_bad_rows:
                raise ProblemError(f"{error}; mend the row, or drop such rows with --skip-bad-rows") from error
            dropped.append(str(error))
        else:
            yield item


def named_columns(pairs: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The pairs of `--map KEY=COLUMN` by key. Raises UserError for an invalid pair, or an unknown key."""
    columns: dict[str, str] = {}
    for pair in pairs:
        key, mark, column = pair.partition("=")
        if not mark or not column:
            raise UserError(f"--map takes KEY=COLUMN with a KEY of {', '.join(keys)}; not {pair!r}")
        if key not in keys:
            raise UserError(f"--map {pair}: there is no key {key!r}: {which(key, keys)}")
        if key in columns:
            raise UserError(f"--map names {key} twice")
        columns[key] = column
    return columns


def text_field(where: str, row: Mapping[str, Any], field: str) -> str:
    """A field that holds text or a number, stripped. Raises ProblemError where it is missing, empty or neither."""
    value = present_field(where, row, field)
    if isinstance(value, bool) or not isinstance(value, (str, *NUMBERS)):
        raise ProblemError(f"{where}: field {field!r} is a {type(value).__name__}, not text or a number")
    if not isinstance(value, (str, int)) and not math.isfinite(value):
        raise ProblemError(f"{where}: field {field!r} is {value}, not a number")
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProblemError(f"{where}: field {field!r} is not valid Unicode text") from error
    if not text:
        raise ProblemError(f"{where}: field {field!r} is empty")
    return text


def present_field(where: str, row: Mapping[str, Any], field: str) -> Any:
    """A field's value; `a.0.b` is inside others. Raises ProblemError where it is missing or null."""
    value = inner_field(row, field)
    if value is None and field in row:
        raise ProblemError(f"{where}: field {field!r} is null")
    if value is None:
        raise ProblemError(f"{where}: {missing_field(field, row)}")
    return value


def missing_field(field: str, row: Iterable[Any]) -> str:
    """What is said of a row without a field: the fields that it has, and the one that was perhaps meant."""
    there = [str(name) for name in row]
    meant = closest(field, there)
    hint = "" if meant is None else f": did you mean {meant}?"
    return f"field {field!r} is missing (fields there: {', '.join(there)}){hint}"


def inner_field(row: Mapping[str, Any], field: str) -> Any:
    """A field by its name or else, where the name has dots, inside mappings and lists; None where it is missing."""
    if field in row:
        return row[field]
    value: Any = row
    for part in field.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            return None
    return value
