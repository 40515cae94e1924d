"""Rows of a query as a terminal table, CSV, JSON or Parquet, on standard output, written while they are computed."""

import json
import math
import shutil
import sys
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.csv
from rich.table import Table
from rich.text import Text

from overthink.flows.commands.terminal import console, print_whole
from overthink.storage.parquet_rows import write_parquet
from overthink.storage.sql import AnswerRows
from overthink.tasks.errors import UserError
from overthink.tasks.terminal_text import MOST_ROWS, printable


def print_rows(rows: AnswerRows, output: str) -> None:
    """Print rows in one of the formats; the terminal table stops after 200 rows and says so.

    Raises UserError where the format cannot represent a value.
    """
    try:
        PRINTERS[output](rows)
    except (OverflowError, pa.ArrowNotImplementedError) as error:  # the year 290000, a struct without fields
        raise UserError(f"a value cannot be written as {output}: {error}; cast its column to VARCHAR") from error


def _print_csv(rows: AnswerRows) -> None:
    shown = printable if sys.stdout.isatty() else str
    names = [shown(name) for name in rows.schema.names]
    fields = [field.type if _is_plain(field.type) else pa.string() for field in rows.schema]
    schema = pa.schema(list(zip(names, fields, strict=True)))
    with pa.csv.CSVWriter(sys.stdout.buffer, schema) as writer:
        for batch in rows.batches:
            writer.write_batch(
                pa.RecordBatch.from_arrays([_flat(column, shown) for column in batch.columns], schema=schema)
            )


def _flat(column: pa.Array, shown: Callable[[str], str]) -> pa.Array:
    if _is_plain(column.type):
        return column
    return pa.array([None if value is None else shown(_text(value)) for value in column.to_pylist()], pa.string())


def _is_plain(kind: pa.DataType) -> bool:
    """Whether pyarrow's own CSV text of a type is the one we want."""
    return (
        pa.types.is_primitive(kind)
        or pa.types.is_decimal(kind)
        or (pa.types.is_string(kind) and not sys.stdout.isatty())
    )


def _print_json(rows: AnswerRows) -> None:
    write, separator = sys.stdout.write, "[\n"
    for batch in rows.batches:
        for row in batch.to_pylist():
            write(separator + _json(row))
            separator = ",\n"
    write("\n]\n" if separator == ",\n" else "[]\n")


def _print_parquet(rows: AnswerRows) -> None:
    if sys.stdout.isatty():
        raise UserError("Parquet is not text: send it to a file, as in --format parquet > rows.parquet")
    with TemporaryFile() as file:  # a query that fails must not leave a file that looks complete
        write_parquet(rows, file)
        file.seek(0)
        shutil.copyfileobj(file, sys.stdout.buffer)


def _print_table(rows: AnswerRows) -> None:
    table, count = Table(*rows.schema.names), 0
    for batch in rows.batches:
        for row in batch.slice(0, max(0, MOST_ROWS - count)).to_pylist():
            table.add_row(*("" if value is None else _cell(value) for value in row.values()))
        count += batch.num_rows
    print_whole(table)
    if count > MOST_ROWS:
        console().print(f"{MOST_ROWS} of {count} rows; --format csv prints all")


PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json, "parquet": _print_parquet}


def _cell(value: Any) -> Text:
    return Text(f"{value:.6g}" if isinstance(value, float) else printable(_text(value)))


def _text(value: Any) -> str:
    """A value as the text of a cell; lists and structs as JSON."""
    match value:
        case list() | dict() | tuple():
            return _json(value)
        case bytes():
            return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02X}" for byte in value)
        case Decimal():
            return format(value, "f")
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _json(value: Any) -> str:
    """A value as JSON: decimals with all digits, NaN and infinities as null, a map as pairs."""
    match value:
        case None | bool() | int():
            return json.dumps(value)
        case float():
            return json.dumps(value if math.isfinite(value) else None)
        case Decimal():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(map(_json, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_quoted(name)}: {_json(one)}" for name, one in value.items()) + "}"
        case _:
            return _quoted(_text(value))


def _quoted(text: str) -> str:
    """A JSON string in which all unprintable characters are escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
