"""The client of the middleware for vLLM's server (`step_serving.py`): concurrent prompts go in one request."""

import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from overthink.tasks.engines.http.coalesce import Answer, Asked, Question, Together, still_open
from overthink.tasks.engines.http.endpoints import Endpoints
from overthink.tasks.engines.http.http_client import Refused
from overthink.tasks.errors import BadReply

logger = logging.getLogger(__name__)

Shown = TypeVar("Shown", bound=BaseModel)


class WrittenLine(BaseModel, Generic[Shown]):
    """The answer to one prompt, or the reason why it was `refused`."""

    index: int = Field(ge=0)
    refused: str | None = None
    answer: Shown | None = None


class ServedSteps(Generic[Asked, Shown, Answer]):
    """One path of the middleware: questions are dataclasses, and `understand` checks each reply."""

    def __init__(
        self,
        endpoints: Endpoints,
        path: str,
        model: str,
        kind: type[WrittenLine[Shown]],
        understand: Callable[[str, Asked, Shown], Answer],
    ) -> None:
        self._endpoints = endpoints
        self._path = path
        self._model = model
        self._kind = kind
        self._understand = understand
        self._together: Together[Asked, Answer] = Together(self._ask_all)
        self.there = True

    async def ask(self, prompt: Asked) -> Answer | None:
        """The answer; None where an endpoint has no middleware, which is then not tried again.

        Raises BadReply where the prompt is refused, or else as `Endpoints.post`.
        """
        if not self.there:
            return None
        try:
            return await self._together.ask(prompt)
        except Refused as refusal:
            if self.there:
                logger.warning(
                    "%s is asked one prompt a request; our middleware (docs/servers.md) would take many: %s",
                    self._model,
                    refusal,
                )
            self.there = False
            return None

    def close(self) -> None:
        """Cancel the requests in flight."""
        self._together.close()

    async def _ask_all(self, questions: list[Question[Asked, Answer]]) -> None:
        await self._endpoints.stream(self._path, _Request(self._model, self._kind, self._understand, questions))


class _Request(Generic[Asked, Shown, Answer]):
    """Questions to one endpoint, and to another those that it did not answer."""

    def __init__(
        self,
        model: str,
        kind: type[WrittenLine[Shown]],
        understand: Callable[[str, Asked, Shown], Answer],
        questions: list[Question[Asked, Answer]],
    ) -> None:
        self.kind = kind
        self._model = model
        self._understand = understand
        self._questions = questions

    @property
    def size(self) -> int:
        """See `Streamed.size`."""
        return len(still_open(self._questions))

    def body(self) -> dict[str, Any]:
        """See `Streamed.body`."""
        self._questions = still_open(self._questions)
        return {"model": self._model, "prompts": [question.asked for question in self._questions]}

    def take(self, url: str, line: WrittenLine[Shown]) -> None:
        """See `Streamed.take`. Raises BadReply where the line is none of a reply to the questions."""
        if line.index >= len(self._questions):
            raise BadReply(f"{url} answered prompt {line.index} of {len(self._questions)}")
        question = self._questions[line.index]
        try:
            question.answer(self._understand(url, question.asked, self._shown(url, line)))
        except BadReply as error:  # the others are still answered
            question.fail(error)

    def _shown(self, url: str, line: WrittenLine[Shown]) -> Shown:
        if line.answer is None:
            raise BadReply(f"{url} refused a prompt: {line.refused or 'it says neither why nor anything else'}")
        return line.answer
