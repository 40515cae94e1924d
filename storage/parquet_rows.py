"""Rows that are still computed, in pieces of bounded size and as a Parquet file."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from overthink.storage.sql import AnswerRows

PIECE_BYTES = 64_000_000


def pieces(rows: AnswerRows) -> Iterator[pa.Table]:
    """The rows as tables of some PIECE_BYTES, one at least, with all columns even where there are no rows."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in rows.batches:
        waiting.append(batch)
        size += batch.nbytes
        if size > PIECE_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, size = [], 0
    yield pa.Table.from_batches(waiting, rows.schema)


def write_parquet(rows: AnswerRows, file: Path | BinaryIO) -> int:
    """Write the rows, a row group a piece; returns their number. Raises OSError, and QueryError as the rows do."""
    count = 0
    with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
        for piece in pieces(rows):
            writer.write_table(piece)
            count += piece.num_rows
    return count
