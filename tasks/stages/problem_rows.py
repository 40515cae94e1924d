"""Problems as rows of the table `problems`, and back."""

import json
from collections.abc import Mapping
from typing import Any

from overthink.tasks.records import Problem

_PLAIN = ("problem_key", "problem_id", "question", "reference", "domain", "level", "subject", "chance")


def problem_row(problem: Problem) -> dict[str, Any]:
    """A problem's row, with its further columns as one JSON object; null where it has none."""
    row = {name: getattr(problem, name) for name in _PLAIN}
    return row | {"fields": _json(problem.fields) if problem.fields else None}


def problem_of(row: Mapping[str, Any]) -> Problem:
    """The problem of a row; how it was asked is not stored."""
    fields = row["fields"]
    return Problem(**{name: row[name] for name in _PLAIN}, fields={} if fields is None else json.loads(fields))


def _json(fields: Mapping[str, Any]) -> str:
    # What is no valid Unicode can only stand in it as an escape.
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
