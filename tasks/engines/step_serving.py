"""A middleware for vLLM's server: many prompts in a request, token ids in and out, each answered once it is written.

Through the completions endpoint every step of a search is a request of its own, which costs the server more than the
few tokens of the step. It is installed with this package, beside the server's vLLM, and switched on by
`--middleware tasks.engines.step_serving.StepServing`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import orjson
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks.engines.vllm_loop import refusals
from tasks.engines.vllm_sampling import sampling_parameters
from tasks.records import Sampling

MIDDLEWARE = "tasks.engines.step_serving.StepServing"
PATH = "/v1/steps"  # beneath /v1, so that vLLM asks for its key


class StepPrompt(BaseModel):
    """Token ids, and how to go on from them."""

    ids: list[NonNegativeInt] = Field(min_length=1)
    sampling: Sampling
    stop_ids: list[NonNegativeInt]
    seed: int


class StepPrompts(BaseModel):
    """One request."""

    model: str
    prompts: list[StepPrompt] = Field(min_length=1)


class StepServing:
    """Adds the path to vLLM's app, within all that guards its other paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._has_path = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; only the first call, which is the app's start, differs from the app's own."""
        if not self._has_path:
            scope["app"].add_route(PATH, write_steps, methods=["POST"])
            self._has_path = True
        await self._app(scope, receive, send)


async def write_steps(request: Request) -> Response:
    """A line of JSON for each prompt as it is written: its `index`, and what was written or why it is `refused`."""
    try:
        asked = StepPrompts.model_validate_json(await request.body())
    except ValidationError as error:
        return PlainTextResponse(str(error), 400)
    state = request.app.state
    if not state.openai_serving_models.is_base_model(asked.model):
        return PlainTextResponse(f"{asked.model} is not served here", 404)
    return StreamingResponse(write_all(state.engine_client, asked.prompts), media_type="application/x-ndjson")


async def write_all(engine: Any, prompts: list[StepPrompt]) -> AsyncIterator[bytes]:
    """Lines as they come. Raises what the engine raises, which ends the reply before its end."""
    lines: asyncio.Queue[bytes | Exception] = asyncio.Queue()
    tasks = [asyncio.create_task(_write(engine, *numbered, lines)) for numbered in enumerate(prompts)]
    try:
        left = len(prompts)
        while left:
            ready = [await lines.get()]
            while not lines.empty():
                ready.append(lines.get_nowait())
            for line in ready:
                if isinstance(line, Exception):
                    raise line
            left -= len(ready)
            yield b"".join(line for line in ready if isinstance(line, bytes))
    finally:
        for task in tasks:
            task.cancel()


async def _write(engine: Any, index: int, prompt: StepPrompt, lines: "asyncio.Queue[bytes | Exception]") -> None:
    try:
        line = await _written(engine, prompt)
    except refusals() as error:
        line = {"refused": str(error)}
    except Exception as error:  # it is raised where the reply is written, as this task is nobody's
        lines.put_nowait(error)
        return
    lines.put_nowait(orjson.dumps({"index": index} | line, option=orjson.OPT_APPEND_NEWLINE))


async def _written(engine: Any, prompt: StepPrompt) -> dict[str, Any]:
    parameters = sampling_parameters(prompt.sampling, prompt.stop_ids, prompt.seed)
    request = engine.generate({"prompt_token_ids": prompt.ids}, parameters, f"steps-{uuid.uuid4().hex}")
    output = [output async for output in request][-1]
    completion = output.outputs[0]
    return {
        "tokens": list(completion.token_ids),
        "logprobs": list(completion.logprobs.logprobs) if completion.logprobs is not None else [],
        "finish_reason": completion.finish_reason,
        "cached": output.num_cached_tokens,
    }
