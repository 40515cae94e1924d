"""Input files: only regular files are opened; duplicate keys are errors, and floats keep their spelling."""

import csv
import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

LONGEST_LINE = 2**26  # bytes of one JSON value
LONGEST_FILE = 2**30  # bytes of a file that is read at once
ROWS_AT_ONCE = 1000
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


NumberedRow = tuple[int, dict[str, Any] | str]  # from 1; a row, or what is wrong with it


class WrittenFloat(float):
    """A float that keeps the text of its file."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, written: str, value: float | str | None = None) -> Self:
        """A float from its text; `value` where the text gives another float in double precision."""
        number = super().__new__(cls, written if value is None else value)
        number.written = written
        return number


class RepeatedName(ValueError):
    """A key or a column occurs twice, so that one of its values would be lost."""

    def __init__(self, what: str, name: object) -> None:
        super().__init__(f"the {what} {str(name)[:80]!r} is there twice: keep one")


def regular_file(path: Path) -> BinaryIO:
    """A file, open for reading. Raises OSError, and ValueError for anything but a regular file."""
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"it is {KINDS.get(kind, 'no file')}, so name a file with its contents")
    return path.open("rb")


def bounded_bytes(path: Path, most: int) -> bytes:
    """A file's bytes, up to its length on opening. Raises OSError, and ValueError for more than `most` bytes."""
    with regular_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise ValueError(f"its {size:,} bytes are more than the {most:,} that are read")
        return stream.read(size)


def json_value(data: bytes) -> Any:
    """A JSON value, its floats as WrittenFloat. Raises ValueError saying what is wrong with it."""
    try:
        return json.loads(data, parse_float=WrittenFloat, object_pairs_hook=_distinct)
    except RepeatedName:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}); was it cut off?") from error


def json_objects(path: Path) -> Iterator[NumberedRow]:
    """The nonblank lines of a file: the number of each, from 1, and its object, or what is wrong with it.

    Raises OSError or ValueError where the file cannot be read.
    """
    for number, line in _lines(path):
        yield number, _object(line) if isinstance(line, bytes) else line


def json_array(path: Path) -> Iterator[NumberedRow]:
    """The items of a file that is one JSON array; see `json_objects`."""
    value = json_value(bounded_bytes(path, LONGEST_FILE))
    if not isinstance(value, list):
        raise ValueError("it is not one JSON array: JSON objects, one a line, are read from a .jsonl file")
    for number, item in enumerate(value, 1):
        yield number, item if isinstance(item, dict) else "not a JSON object"


def csv_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a CSV file in UTF-8, by the names in its first; all values are text, and empty ones are missing."""
    text = bounded_bytes(path, LONGEST_FILE).decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(rows, [])
        _once_each("column", names)
        for number, values in enumerate((row for row in rows if row), 1):
            row = {name: value or None for name, value in zip(names, values, strict=False)}
            yield number, row if len(values) == len(names) else f"{len(values)} values for {len(names)} columns"
    except csv.Error as error:
        raise ValueError(f"not CSV ({error} in line {rows.line_num})") from error


def parquet_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a Parquet file, floats of less than double precision as WrittenFloat; see `json_objects`."""
    return enumerate(_parquet_rows(path), 1)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with regular_file(path) as stream, pq.ParquetFile(stream) as file:
            schema = file.schema_arrow
            _once_each("column", schema.names)
            short = [field for field in schema if _is_short(field.type)]
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    yield row | {field.name: _written(row[field.name], field.type) for field in short}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def packed_objects(path: Path) -> Iterator[NumberedRow]:
    """The objects of a file that gzip has packed; see `json_objects`."""
    try:
        with regular_file(path) as packed, gzip.GzipFile(fileobj=packed) as stream:
            for number, line in _lines_of(stream, LONGEST_FILE):
                yield number, _object(line) if isinstance(line, bytes) else line
            if stream.tell() >= LONGEST_FILE:
                raise ValueError(f"unpacked it has more than the {LONGEST_FILE:,} bytes that are read")
    except (EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be unpacked ({error}); was it cut off?") from error


READERS: Mapping[str, Callable[[Path], Iterator[NumberedRow]]] = {
    ".jsonl": json_objects,
    ".jsonl.gz": packed_objects,
    ".json": json_array,
    ".csv": csv_rows,
    ".parquet": parquet_rows,
}


def _lines(path: Path) -> Iterator[tuple[int, bytes | str]]:
    """The lines of a file up to its length on opening; see `_lines_of`."""
    with regular_file(path) as stream:
        yield from _lines_of(stream, os.fstat(stream.fileno()).st_size)


def _lines_of(stream: BinaryIO | gzip.GzipFile, left: int) -> Iterator[tuple[int, bytes | str]]:
    """The numbered lines of so many bytes; for a line that is too long, an error text."""
    number = 0
    while piece := stream.readline(min(left, LONGEST_LINE + 1)):
        left, number = left - len(piece), number + 1
        if len(piece) > LONGEST_LINE:
            yield number, f"longer than the {LONGEST_LINE:,} bytes that a line may have: is it one value?"
        elif piece.strip():
            yield number, piece
        while len(piece) > LONGEST_LINE and not piece.endswith(b"\n"):
            piece = stream.readline(min(left, LONGEST_LINE + 1))
            left -= len(piece)


def _object(line: bytes) -> dict[str, Any] | str:
    try:
        value = json_value(line)
    except ValueError as error:
        return str(error)
    return value if isinstance(value, dict) else "not a JSON object"


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        _once_each("key", [key for key, _ in pairs])
    return value


def _once_each(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RepeatedName(what, name)
        seen.add(name)


def _is_short(kind: pa.DataType) -> bool:
    """Whether values are floats of less than double precision, or lists of such."""
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    return bool(pa.types.is_float32(inner) or pa.types.is_float16(inner))


def _written(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, list):
        return [_written(each, kind.value_type) for each in value]
    return None if value is None else WrittenFloat(str(kind.to_pandas_dtype()(value)), value)
