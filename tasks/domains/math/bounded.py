"""Judging and grouping one problem's answers within a budget of CPU time, in the main thread of a process."""

import hashlib
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from overthink.tasks.domains.domain import Verdict
from overthink.tasks.domains.math.equality import GRADE, same
from overthink.tasks.domains.math.evaluation import NotRead
from overthink.tasks.domains.math.grouping import partition
from overthink.tasks.domains.math.reading import as_told, read_answer
from overthink.tasks.domains.math.values import Answer, scalars_of

LONGEST_KEY = 300  # characters
AGAIN_SECONDS = 0.1  # until the exception is raised again, in case something swallowed the first
Doubt = Literal["limit", "unread", "undecided"]  # why a verdict is unknown
Found = tuple[str, Verdict | None, Doubt | None]


class OutOfTime(TimeoutError):
    """One answer, or all answers of a problem, took their CPU seconds."""


class Budget:
    """CPU seconds for each answer and for all of a problem's."""

    def __init__(self, time_limit: float, problem_limit: float) -> None:
        self._time_limit = time_limit
        self._end = time.process_time() + problem_limit

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises OutOfTime where the block takes longer than one answer may, or nothing is left for the problem."""
        left = min(self._time_limit, self._end - time.process_time())
        if left <= 0:
            raise OutOfTime
        before = signal.signal(signal.SIGPROF, _out_of_time)
        signal.setitimer(signal.ITIMER_PROF, left, AGAIN_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


def _out_of_time(_signal: int, _frame: FrameType | None) -> None:
    raise OutOfTime


@dataclass(frozen=True)
class Read:
    """An answer that was read, and why not everything in it was computed; None where it was."""

    answer: Answer
    lacking: Doubt | None = None


def judged(reference: str | None, answers: Sequence[str], budget: Budget) -> dict[str, Found]:
    """Each distinct answer's key, its verdict, and why that is unknown; in an order that is not that of the answers."""
    right = None if reference is None else _read(reference, budget)
    found: dict[str, Found] = {}
    for text in _in_order(answers):
        one = _read(text, budget)
        verdict = (None, None) if right is None else _verdict(right, one, text == reference, budget)
        found[text] = (stored_key(one.answer), *verdict)
    return found


def grouped(answers: Sequence[str], budget: Budget) -> dict[str, int]:
    """The group of each distinct answer."""
    texts = _in_order(answers)
    labels = partition([_read(text, budget).answer for text in texts], budget.one)
    return dict(zip(texts, labels, strict=True))


def stored_key(answer: Answer) -> str:
    """An answer's key, a long one cut and ended by its digest."""
    if len(answer.key) <= LONGEST_KEY:
        return answer.key
    digest = hashlib.sha256(answer.key.encode(errors="surrogatepass")).hexdigest()
    return f"{answer.key[:LONGEST_KEY]}… {digest[:16]}"


def _in_order(answers: Sequence[str]) -> list[str]:
    return sorted(set(answers), key=lambda text: (len(text), text))


def _read(text: str, budget: Budget) -> Read:
    """An answer, and the values needed to compare it."""
    answer = None
    try:
        with budget.one():
            answer = read_answer(text)
            for scalar in scalars_of(answer):
                scalar.valued.compute()
    except Exception as error:  # one answer's failure must not affect the others' verdicts
        return Read(answer or as_told(text), _reason(error))
    return Read(answer)


def _verdict(right: Read, one: Read, identical: bool, budget: Budget) -> tuple[Verdict, Doubt | None]:
    if identical or right.answer.key == one.answer.key:
        return "equal", None
    if lacking := right.lacking or one.lacking:
        return "unknown", lacking
    try:
        with budget.one():
            return "equal" if same(right.answer, one.answer, GRADE) else "different", None
    except Exception as error:
        return "unknown", _reason(error)


def _reason(error: Exception) -> Doubt:
    if isinstance(error, (OutOfTime, MemoryError)):
        return "limit"
    return "undecided" if isinstance(error, ArithmeticError) and not isinstance(error, NotRead) else "unread"
