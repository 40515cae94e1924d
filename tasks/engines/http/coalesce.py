"""Coalesces concurrent questions into one request, and returns each answer to its caller.

For short steps, most of a server's work is the overhead of a request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

LARGEST = 64  # questions in one request

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Question(Generic[Asked, Answer]):
    """A question, and the future of its answer."""

    asked: Asked
    future: asyncio.Future[Answer]

    @property
    def open(self) -> bool:
        """Whether its caller still waits for an answer."""
        return not self.future.done()

    def answer(self, answer: Answer) -> None:
        """Set the answer, if the caller still waits."""
        if self.open:
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Set an error, if the caller still waits."""
        if self.open:
            self.future.set_exception(error)


class Together(Generic[Asked, Answer]):
    """Gathers questions; `ask_all` answers each one of a list, or raises for all that it has not answered."""

    def __init__(self, ask_all: Callable[[list[Question[Asked, Answer]]], Awaitable[None]]) -> None:
        self._ask_all = ask_all
        self._waiting: list[Question[Asked, Answer]] = []
        self._requests: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Answer:
        """Ask one question, in one request with all others of the same moment."""
        events = asyncio.get_running_loop()
        if not self._waiting:
            events.call_soon(self._send)
        question: Question[Asked, Answer] = Question(asked, events.create_future())
        self._waiting.append(question)
        return await question.future

    def close(self) -> None:
        """Cancel the requests in flight."""
        for request in self._requests:
            request.cancel()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for begin in range(0, len(waiting), LARGEST):
            request = asyncio.create_task(self._request(waiting[begin : begin + LARGEST]))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _request(self, questions: list[Question[Asked, Answer]]) -> None:
        try:
            if left := still_open(questions):
                await self._ask_all(left)
        except asyncio.CancelledError:
            for question in questions:
                question.future.cancel()
            raise
        except Exception as error:  # any error is passed to all waiting callers
            for question in questions:
                question.fail(error)


def still_open(questions: Iterable[Question[Asked, Answer]]) -> list[Question[Asked, Answer]]:
    """The questions that still wait for an answer."""
    return [question for question in questions if question.open]
