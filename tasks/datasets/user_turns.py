"""The columns of a problem's row, and the user's turn that a recipe's template makes of them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from overthink.storage.keys import content_key
from overthink.tasks.datasets.input_files import WrittenFloat
from overthink.tasks.domains.domain import Domain
from overthink.tasks.domains.known_domains import MATH
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


@dataclass(frozen=True)
class Asking:
    """How a recipe puts problems to the policy: its domain, and its template of the user's turn where it has one."""

    domain: Domain = MATH
    template: UserTemplate | None = None

    def asked(self, problem: Problem, answer: Any, where: str) -> Problem:
        """A problem as its domain has it, and asked. `answer` is what the data have for its reference.

        Raises ProblemError naming the place, where the row is not what the domain or the template needs.
        """
        try:
            posed = self.domain.posed(problem, answer)
        except ValueError as error:
            raise ProblemError(f"{where}: {error}") from error
        if posed.question != problem.question:
            posed = replace(posed, problem_key=problem_key(problem.problem_id, posed.question))
        posed = replace(posed, chance=self.domain.chance(posed))
        if self.template is None:
            return posed
        columns = {**problem.fields, **self.domain.columns(posed), "question": problem.question}
        return with_user_turn(posed, self.template, columns, where)


def problem_key(problem_id: str, question: str) -> str:
    """The content address of a problem: a hash of its id and of what policy and PRM see."""
    return content_key([problem_id, question])


def with_user_turn(problem: Problem, template: UserTemplate, columns: Mapping[str, Any], where: str) -> Problem:
    """The problem, asked by a template that puts in columns; `question` is the question as the data have it.

    Raises ProblemError naming the place and the columns there, where one that the template names is missing or null.
    """
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
        why = "is null" if name in columns else f"is missing (columns there: {there})"
        form = "; a name stands in braces without a format" if set(name) & set(":!") else ""
        raise ProblemError(f"{where}: `prompt.user` puts in {{{name}}}, which {why}{form}")
    value = columns[name]
    if isinstance(value, WrittenFloat):
        return value.written
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProblemError(f"{where}: field {name!r} is not valid Unicode text") from error
    return text
