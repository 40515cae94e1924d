"""Rows as tables of the schemas."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from overthink.storage.journal import JournaledCall
from overthink.storage.schemas import SCHEMAS


def rows_table(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the schema `name`: what a row lacks is null, and what no column is for is left out."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])


def calls_table(calls: Sequence[JournaledCall]) -> pa.Table:
    """Journaled calls as rows of the `calls` table, without their replies."""
    return rows_table("calls", list(map(_row, calls)))


def _row(call: JournaledCall) -> dict[str, Any]:
    # What a program took stands in its outcome.
    cpu_seconds = json.loads(call.reply)["cpu_seconds"] if call.kind == "execute" else None
    return vars(call) | {"started_at": int(call.started_at * 1_000_000), "cpu_seconds": cpu_seconds}
