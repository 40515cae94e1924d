"""Rows as tables of the schemas."""

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
    return rows_table("calls", [vars(call) | {"started_at": int(call.started_at * 1_000_000)} for call in calls])
