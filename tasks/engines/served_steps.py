"""Our side of the middleware for vLLM's server (`step_serving.py`): prompts of one moment go in one request."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from tasks.engines.endpoints import Endpoints
from tasks.engines.together import Answer, Asked, Question, Together, still_open
from tasks.errors import BadReply


class Line(BaseModel):
    """The answer to one prompt, or why it was `refused`."""

    index: int = Field(ge=0)
    refused: str | None = None


AnyLine = TypeVar("AnyLine", bound=Line)


class ServedSteps(Generic[Asked, AnyLine, Answer]):
    """One path of the middleware: what is asked there are dataclasses, and `understand` checks the line of each."""

    def __init__(
        self,
        endpoints: Endpoints,
        path: str,
        model: str,
        kind: type[AnyLine],
        understand: Callable[[str, Asked, AnyLine], Answer],
    ) -> None:
        self._endpoints = endpoints
        self._path = path
        self._model = model
        self._kind = kind
        self._understand = understand
        self._together: Together[Asked, Answer] = Together(self._ask_all)

    async def ask(self, prompt: Asked) -> Answer:
        """Raises Refused where an endpoint has no middleware, BadReply where it refuses the prompt, else as `post`."""
        return await self._together.ask(prompt)

    def close(self) -> None:
        """Give up what is under way."""
        self._together.close()

    async def _ask_all(self, questions: list[Question[Asked, Answer]]) -> None:
        await self._endpoints.stream(self._path, _Request(self._model, self._kind, self._understand, questions))


class _Request(Generic[Asked, AnyLine, Answer]):
    """Questions to one endpoint, and to another those that it left open."""

    def __init__(
        self,
        model: str,
        kind: type[AnyLine],
        understand: Callable[[str, Asked, AnyLine], Answer],
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

    def take(self, url: str, line: AnyLine) -> None:
        """See `Streamed.take`. Raises BadReply where the line is none of a reply to the questions."""
        if line.index >= len(self._questions):
            raise BadReply(f"{url} answered prompt {line.index} of {len(self._questions)}")
        question = self._questions[line.index]
        if line.refused is not None:
            question.fail(BadReply(f"{url} refused a prompt: {line.refused}"))
            return
        try:
            question.answer(self._understand(url, question.asked, line))
        except BadReply as error:  # the others are still answered
            question.fail(error)
