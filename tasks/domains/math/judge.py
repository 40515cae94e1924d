"""Grades the answers of a problem against its reference, and groups equal ones."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from overthink.tasks.domains.domain import Judged, Verdict
from overthink.tasks.domains.math.bounded import stored_key
from overthink.tasks.domains.math.children import PATIENCE, Children
from overthink.tasks.domains.math.expressions import number_key
from overthink.tasks.domains.math.grouping import numbered
from overthink.tasks.domains.math.reading import as_told
from overthink.tasks.domains.math.tolerances import is_within, plain_number, tolerance_of
from overthink.tasks.records import Problem


class MathJudge:
    """Grades and groups answers, for any number of threads. Use as a context manager.

    `time_limit` bounds one answer and `problem_limit` one problem, in CPU seconds; what does not fit is unknown, and so
    is an answer that ends the process which reads it.
    `processes` child processes compute, by default one a core; numbers in plain digits need none.
    """

    def __init__(self, time_limit: float = 5.0, problem_limit: float = 30.0, processes: int | None = None) -> None:
        self._limits = {"time_limit": time_limit, "problem_limit": problem_limit}
        self._children = Children("overthink.tasks.domains.math.worker", processes)

    def __enter__(self) -> "MathJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self._children.stop()

    def grade(self, problem: Problem, answers: Sequence[str]) -> list[Judged]:
        """See `Judge.grade`."""
        found = self.judge(problem.reference, answers)
        allowed = tolerance_of(problem)
        if problem.reference is None or allowed is None:
            return found
        near = [is_within(allowed, problem.reference, text) for text in answers]
        return [replace(one, verdict="equal") if is_near else one for one, is_near in zip(found, near, strict=True)]

    def judge(self, reference: str | None, answers: Sequence[str]) -> list[Judged]:
        """The key and verdict of each answer to one problem, each graded against the reference itself."""
        right = None if reference is None else plain_number(reference)
        quick = reference is None or right is not None
        known = {text: value for text in set(answers) if quick and (value := plain_number(text)) is not None}
        found = {text: Judged(number_key(value), _plain_verdict(right, value)) for text, value in known.items()}
        others = [text for text in answers if text not in known]
        if others:
            replies = self._ask({"work": "judge", "reference": reference, "answers": others})
            found |= {text: _judged(reference, text, replies) for text in others}
        return [found[text] for text in answers]

    def groups(self, answers: Sequence[str]) -> list[int]:
        """The group of each answer to one problem, numbered by first occurrence; a partition for every order."""
        values = [plain_number(text) for text in answers]
        if None not in values:
            return numbered(values)
        replies = self._ask({"work": "group", "answers": list(answers)})
        return numbered([replies.get(text, text) for text in answers])

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A child's verdict on each answer; None for an answer that kills a child or exceeds its time."""
        limit = self._limits["problem_limit"]
        replies = self._children.ask({**request, **self._limits}, limit)
        if replies is None:
            end = time.monotonic() + PATIENCE * limit
            harmless = [text for text in dict.fromkeys(request["answers"]) if self._is_harmless(text, request, end)]
            replies = self._children.ask({**request, "answers": harmless, **self._limits}, limit) if harmless else None
        return replies or {}

    def _is_harmless(self, text: str, request: Mapping[str, Any], end: float) -> bool:
        """Whether a child answers for this answer alone, before `end`."""
        alone = {**request, "answers": [text], **self._limits}
        return time.monotonic() < end and self._children.ask(alone, self._limits["time_limit"]) is not None


def _plain_verdict(right: Fraction | None, value: Fraction) -> Verdict | None:
    return None if right is None else "equal" if right == value else "different"


def _judged(reference: str | None, text: str, replies: Mapping[str, Any]) -> Judged:
    """A child's verdict; without one, only identical text counts as right."""
    if text in replies:
        return Judged(*replies[text])
    verdict: Verdict | None = None if reference is None else "equal" if reference == text else "unknown"
    return Judged(stored_key(as_told(text)), verdict, "limit" if verdict == "unknown" else None)
