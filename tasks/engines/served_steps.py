"""The policy's side of our middleware for vLLM's server (`step_serving.py`): prompts of one moment in one request."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, Field

from tasks.engines.endpoints import Endpoints
from tasks.engines.together import Question, Together, still_open
from tasks.engines.token_policy import Written
from tasks.errors import BadReply
from tasks.records import Sampling

PATH = "/steps"  # beneath an endpoint's /v1


@dataclass(frozen=True)
class Prefix:
    """Token ids, and how to go on from them; see `TokenPolicy._write`."""

    ids: list[int]
    sampling: Sampling
    stop_ids: list[int]
    seed: int


class Line(BaseModel):
    """The reply to one prefix: what was written, or why it was `refused`."""

    index: int = Field(ge=0)
    refused: str | None = None
    tokens: list[int] = Field(default_factory=list)
    logprobs: list[float] = Field(default_factory=list)
    finish_reason: str | None = None
    cached: int | None = None


class ServedSteps:
    """Writes from prefixes over HTTP. Raises Refused where an endpoint has no middleware."""

    def __init__(self, endpoints: Endpoints, model: str) -> None:
        self._endpoints = endpoints
        self._model = model
        self._together: Together[Prefix, Written] = Together(self._write_all)

    async def write(self, prefix: Prefix) -> Written:
        """See `TokenPolicy._write`. Raises BadReply where the prefix is refused."""
        return await self._together.ask(prefix)

    def close(self) -> None:
        """Give up what is under way."""
        self._together.close()

    async def _write_all(self, questions: list[Question[Prefix, Written]]) -> None:
        await self._endpoints.stream(PATH, _Request(self._model, questions))


class _Request:
    """Questions to one endpoint, and to another those that it left open."""

    def __init__(self, model: str, questions: list[Question[Prefix, Written]]) -> None:
        self.kind = Line
        self._model = model
        self._questions = questions

    @property
    def size(self) -> int:
        """See `Streamed.size`."""
        return len(still_open(self._questions))

    def body(self) -> dict[str, Any]:
        """See `Streamed.body`."""
        self._questions = still_open(self._questions)
        return {"model": self._model, "prompts": [asdict(question.asked) for question in self._questions]}

    def take(self, url: str, line: Line) -> None:
        """See `Streamed.take`. Raises BadReply where the line is none of a reply to the questions."""
        if line.index >= len(self._questions):
            raise BadReply(f"{url} answered prompt {line.index} of {len(self._questions)}")
        question = self._questions[line.index]
        if line.refused is not None:
            question.fail(BadReply(f"{url} refused a prompt of {len(question.asked.ids)} tokens: {line.refused}"))
        elif len(line.logprobs) != len(line.tokens):
            question.fail(BadReply(f"{url} gave {len(line.logprobs)} log-probabilities for {len(line.tokens)} tokens"))
        else:
            question.answer(Written(line.tokens, line.logprobs, line.finish_reason, line.cached))
