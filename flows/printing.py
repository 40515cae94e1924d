"""Rows of a query as a terminal table, CSV, JSON or Parquet, on standard output."""

import json
import sys
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import printable

MOST_ROWS = 200


def print_rows(rows: pa.Table, output: str) -> None:
    """Print rows in one of the formats; the terminal table stops after 200 rows and says so."""
    match output:
        case "csv":
            pa.csv.write_csv(rows, sys.stdout.buffer)
        case "json":
            sys.stdout.write(json.dumps(rows.to_pylist(), default=_plain, ensure_ascii=False, indent=2) + "\n")
        case "parquet":
            pa.parquet.write_table(rows, sys.stdout.buffer)
        case _:
            _print_table(rows)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def _print_table(rows: pa.Table) -> None:
    table = Table(*rows.column_names)
    for row in rows.slice(0, MOST_ROWS).to_pylist():
        table.add_row(*("" if value is None else _cell(value) for value in row.values()))
    console = Console()
    console.print(table)
    if rows.num_rows > MOST_ROWS:
        console.print(f"{MOST_ROWS} of {rows.num_rows} rows; --format csv prints all")


def _cell(value: Any) -> Text:
    return Text(f"{value:.6g}" if isinstance(value, float) else printable(str(value)))
