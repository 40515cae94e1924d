"""The columns of a problem's row, and the user's turn that a recipe's template makes of them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from overthink.storage.keys import content_key
from overthink.tasks.datasets.input_files import WrittenFloat
from overthink.tasks.domains.user_template import UserTemplate
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem


def row_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """All columns of a row as JSON has them; images and other bytes are left out, and NaN is null."""
    return dict(_json_items((str(name), value) for name, value in row.items()))


def _json_items(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for name, value in items:
        try:
            yield name, _as_json(value)
        except TypeError:
            continue


def _as_json(value: Any) -> Any:
    """Raises TypeError for what is neither text, number, list nor mapping."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal() | date() | time() | timedelta():
            return str(value)
        case np.generic() | np.ndarray():
            return _as_json(value.tolist())
        case Mapping():
            return row_fields(value)
        case list() | tuple():
            return [each for _, each in _json_items(enumerate(value))]
    raise TypeError(type(value).__name__)


def with_user_turn(problem: Problem, template: UserTemplate | None, where: str) -> Problem:
    """The problem, asked by the recipe's template. `question` is the problem's question, whatever its column is called.

    Raises ProblemError naming the place and the columns there, where one that the template names is missing or null.
    """
    if template is None:
        return problem
    columns = {**problem.fields, "question": problem.question}
    texts = {name: _column_text(where, columns, name) for name in template.columns}
    further = {name: text for name, text in texts.items() if name != "question"}
    key = content_key([problem.problem_id, problem.question, further]) if further else problem.problem_key
    turn = template.fill(texts)
    if not turn.strip():
        raise ProblemError(f"{where}: the user's turn is blank, since what `prompt.user` puts in is")
    return replace(problem, problem_key=key, user_turn=turn)


def _column_text(where: str, columns: Mapping[str, Any], name: str) -> str:
    """A column's text as it is, a number as it was written, and anything else as JSON."""
    if columns.get(name) is None:
        there = ", ".join(columns)
        raise ProblemError(f"{where}: `prompt.user` puts in {{{name}}}, which is missing (columns there: {there})")
    value = columns[name]
    if isinstance(value, WrittenFloat):
        return value.written
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProblemError(f"{where}: field {name!r} is not valid Unicode text") from error
    return text
