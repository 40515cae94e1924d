"""Grades the answers of a problem against its reference, and joins those that are equal."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.problems.equality import EqualityJudge, Verdict, group_answers

__all__ = ["Judged", "MathJudge", "Verdict"]


@dataclass(frozen=True)
class Judged:
    """One answer: a canonical form of it alone, and the verdict on it, None where there is no reference."""

    key: str
    verdict: Verdict | None


class MathJudge:
    """Grades and groups answers, for any number of threads. Use as a context manager.

    `time_limit` bounds one answer and `problem_limit` one problem, in CPU seconds; `processes` compute, by default one
    a core.
    """

    def __init__(self, time_limit: float = 5.0, problem_limit: float = 30.0, processes: int | None = None) -> None:
        del problem_limit, processes  # until the children are a pool
        self._judge = EqualityJudge(time_limit)
        self._lock = threading.Lock()

    def __enter__(self) -> "MathJudge":
        return self

    def __exit__(self, *exc: object) -> None:
        self._judge.__exit__(*exc)

    def judge(self, reference: str | None, answers: Sequence[str]) -> list[Judged]:
        """The key and verdict of each answer to one problem, each graded against the reference itself."""
        with self._lock:
            verdicts = [None if reference is None else self._judge.compare(reference, answer) for answer in answers]
        return [Judged(answer, verdict) for answer, verdict in zip(answers, verdicts, strict=True)]

    def groups(self, answers: Sequence[str]) -> list[int]:
        """The group of each answer to one problem, numbered by first occurrence; a partition for every order."""
        with self._lock:
            keys = group_answers(list(answers), [], self._judge.compare)
        numbers: dict[str | None, int] = {}
        return [numbers.setdefault(key, len(numbers)) for key in keys]
