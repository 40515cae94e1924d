"""Rows as tables of the schemas."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from overthink.storage.journal import JournaledCall
from overthink.storage.schemas import SCHEMAS


def rows_table(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the schema `name`."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])


def calls_table(calls: Sequence[JournaledCall]) -> pa.Table:
    """Journaled calls as rows of the `calls` table, without their replies."""
    names = [name for name in SCHEMAS["calls"].names if name != "started_at"]
    rows = [
        {name: getattr(call, name) for name in names} | {"started_at": int(call.started_at * 1_000_000)}
        for call in calls
    ]
    return rows_table("calls", rows)
