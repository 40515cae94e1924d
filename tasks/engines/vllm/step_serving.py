"""A middleware for vLLM's server: many prompts per request, token ids in and out, each answered as soon as possible.

Through vLLM's own endpoints every step of a search is a request of its own, which costs the server more than the few
tokens of the step; and a PRM is never read with the prefix cache. It is installed with this package, beside the
server's vLLM, and switched on, for policies and for PRMs, by
`--middleware overthink.tasks.engines.vllm.step_serving.StepServing`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from overthink.tasks.engines.vllm.loop import refusals
from overthink.tasks.engines.vllm.messages import ReadPlaces, Write
from overthink.tasks.records import Sampling

MIDDLEWARE = "overthink.tasks.engines.vllm.step_serving.StepServing"
ROOT = "/v1/steps"  # beneath /v1, so that vLLM asks for its key

Prompt = TypeVar("Prompt", bound=BaseModel)


class Prefix(BaseModel):
    """Token ids, and how a policy goes on from them."""

    ids: list[NonNegativeInt] = Field(min_length=1)
    sampling: Sampling
    stop_ids: list[NonNegativeInt]
    seed: int | None


class Steps(BaseModel):
    """Token ids, and the places whose numbers are wanted of a PRM, in order."""

    ids: list[NonNegativeInt] = Field(min_length=1)
    places: list[NonNegativeInt]

    @model_validator(mode="after")
    def _places_are_there(self) -> "Steps":
        if any(place >= len(self.ids) for place in self.places):
            raise ValueError(f"a place lies behind the {len(self.ids)} tokens")
        return self


class Prompts(BaseModel, Generic[Prompt]):
    """One request."""

    model: str
    prompts: list[Prompt] = Field(min_length=1)


class StepServing:
    """Adds two paths to vLLM's app, within all that guards its other paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._has_paths = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; only the first call, which is the app's start, differs from the app's own."""
        if not self._has_paths:
            scope["app"].add_route(f"{ROOT}/write", write_steps, methods=["POST"])
            scope["app"].add_route(f"{ROOT}/read", read_steps, methods=["POST"])
            self._has_paths = True
        await self._app(scope, receive, send)


async def write_steps(request: Request) -> Response:
    """Answers are the `tokens` that the policy wrote, their `logprobs`, and how many of the prompt were `cached`.

    Where the sampling's `top_logprobs` asks for them, also the `confidences` and `entropies` of the tokens.
    """
    return await _answer(request, Prompts[Prefix], _write)


async def read_steps(request: Request) -> Response:
    """Answers are a PRM's `rows`, its head's numbers at the places behind the tokens that were `cached`."""
    return await _answer(request, Prompts[Steps], _read)


async def _answer(
    request: Request, kind: type[Prompts[Prompt]], answer: Callable[[Any, Prompt], Awaitable[dict[str, Any]]]
) -> Response:
    """A line of JSON for each prompt as it is answered: its `index`, and the answer or why it is `refused`."""
    try:
        asked = kind.model_validate_json(await request.body())
    except ValidationError as error:
        return PlainTextResponse(str(error), 400)
    state = request.app.state
    if not state.openai_serving_models.is_base_model(asked.model):
        return PlainTextResponse(f"{asked.model} is not served here", 404)
    answers = [answer(state.engine_client, prompt) for prompt in asked.prompts]
    return StreamingResponse(lines_of(answers), media_type="application/x-ndjson")


async def lines_of(answers: list[Awaitable[dict[str, Any]]]) -> AsyncIterator[bytes]:
    """Lines as they come, several at once. Raises what the engine raises, which ends the reply before its end."""
    lines: asyncio.Queue[bytes | Exception] = asyncio.Queue()
    tasks = [asyncio.create_task(_put(lines, index, answer)) for index, answer in enumerate(answers)]
    left = len(tasks)
    try:
        while left:
            ready = [await lines.get()]
            while not lines.empty():
                ready.append(lines.get_nowait())
            left -= len(ready)
            yield b"".join(map(_raised, ready))
    finally:
        for task in tasks:
            task.cancel()


async def _put(lines: "asyncio.Queue[bytes | Exception]", index: int, answer: Awaitable[dict[str, Any]]) -> None:
    line: dict[str, Any]
    try:
        line = {"answer": await answer}
    except refusals() as error:
        line = {"refused": str(error)}
    except Exception as error:  # it is raised where the reply is written, as this task is nobody's
        lines.put_nowait(error)
        return
    lines.put_nowait(orjson.dumps({"index": index} | line, option=orjson.OPT_APPEND_NEWLINE))


def _raised(line: bytes | Exception) -> bytes:
    if isinstance(line, Exception):
        raise line
    return line


async def _write(engine: Any, prefix: Prefix) -> dict[str, Any]:
    asked = Write(prefix.ids, prefix.sampling, prefix.stop_ids, prefix.seed)
    written = asked.answer(await _last(engine.generate({"prompt_token_ids": asked.ids}, asked.parameters(), _name())))
    return {
        "tokens": written.tokens,
        "logprobs": written.logprobs,
        "finish_reason": written.finish_reason,
        "cached": written.cached_tokens,
        "confidences": written.confidences,
        "entropies": written.entropies,
    }


async def _read(engine: Any, steps: Steps) -> dict[str, Any]:
    asked = ReadPlaces(steps.ids, steps.places, use_cache=True)
    rows = asked.answer(await _last(engine.encode({"prompt_token_ids": asked.ids}, asked.parameters(), _name())))
    return {"cached": rows.cached, "rows": rows.numbers}


async def _last(outputs: AsyncIterator[Any]) -> Any:
    return [output async for output in outputs][-1]


def _name() -> str:
    return f"steps-{uuid.uuid4().hex}"
