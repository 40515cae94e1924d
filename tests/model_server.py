"""A model server on loopback, in the test's own process: what it says is a hash, and its faults follow a script."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any

from aiohttp import web

from benchmarks.vllm_server import free_port
from overthink.tasks.engines.chat import load_tokenizer
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, ServedPrmConfig
from overthink.tasks.engines.fakes.fake import hash_number
from overthink.tasks.engines.models import locate_tokenizer

TOKENIZER = "zoo/abacus-1m"
SOLUTION = "20+11=31\n\n\\boxed{31}"
MODEL = "served"
Fault = Callable[[web.Request], Any]


def answering(status: int, text: str = "", headers: dict[str, str] | None = None) -> Fault:
    async def fault(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return fault


async def hanging(request: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    return web.Response()


async def hanging_up(request: web.Request) -> web.StreamResponse:
    """Promises a long body and closes the connection in the middle of it."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


GARBAGE = answering(200, "<html>Bad gateway</html>")


@dataclass
class ModelServer:
    """Policy and PRM at once. Each request to a model takes the next of `faults`, and is answered once there are none.

    `change` may spoil a reply; `bodies` are all requests, `keys` what they had in their Authorization header. With
    `middleware` it answers many prompts at once, and reads its cache for a PRM; `read` is what it has read.
    """

    faults: Iterator[Fault] = field(default_factory=lambda: iter(()))
    change: Callable[[Any], Any] = lambda reply: reply
    latency: float = 0.0
    usage: bool = True
    middleware: bool = False
    max_model_len: int | None = 512
    port: int = field(default_factory=free_port)
    bodies: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    models_status: int = 200
    read: list[list[int]] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    def __post_init__(self) -> None:
        self.tokenizer = load_tokenizer(locate_tokenizer(TOKENIZER))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/steps/write", partial(self._steps, self._lines))
        app.router.add_post("/v1/steps/read", partial(self._steps, self._rows_behind_the_cache))
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/pooling", self._pooling)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _models(self, request: web.Request) -> web.Response:
        cards = {"data": [{"id": MODEL, "max_model_len": self.max_model_len}]}
        return web.json_response(cards, status=self.models_status)

    async def _answer(
        self,
        request: web.Request,
        reply: Callable[[Any], Any],
        write: Callable[[Any], web.Response] = web.json_response,
    ) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        fault = next(self.faults, None)
        if fault is not None:
            response: web.StreamResponse = await fault(request)
            return response
        await asyncio.sleep(self.latency)
        return write(self.change(reply(body)))

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._completion)

    async def _steps(self, answer: Callable[[Any], Any], request: web.Request) -> web.StreamResponse:
        if not self.middleware:
            return web.json_response({"detail": "Not Found"}, status=404)
        return await self._answer(request, answer, lambda lines: web.Response(text="".join(lines)))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._said)

    async def _pooling(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._rows)

    def _completion(self, body: Any) -> Any:
        prompt = body["prompt"]
        tokens, reason = self._written(body, self._solution(body, prompt))
        choice = {
            "text": self.tokenizer.decode(tokens, skip_special_tokens=True),
            "finish_reason": reason,
            "token_ids": tokens,
            "prompt_token_ids": prompt,
            "logprobs": {
                "token_logprobs": [-0.5] * len(tokens),
                "top_logprobs": [top_of(body["logprobs"])] * len(tokens),
            },
        }
        return {"choices": [choice]} | self._counts(len(prompt), len(tokens))

    def _lines(self, body: Any) -> Any:
        """As our middleware answers, the last prompt first."""
        lines = []
        for index, prompt in enumerate(body["prompts"]):
            if len(prompt["ids"]) > (self.max_model_len or 512):
                lines.append({"index": index, "refused": "too long"})
                continue
            tokens, reason = self._written(
                prompt["sampling"] | {"stop_token_ids": prompt["stop_ids"]},
                self._solution(prompt["sampling"] | {"seed": prompt["seed"]}, prompt["ids"]),
            )
            logprobs = [-0.5] * len(tokens)
            answer = {"tokens": tokens, "logprobs": logprobs, "finish_reason": reason, "cached": 0}
            if prompt["sampling"]["top_logprobs"]:
                answer |= {"confidences": [2.5] * len(tokens), "entropies": [0.25] * len(tokens)}
            lines.append({"index": index, "answer": answer})
        return [json.dumps(line) + "\n" for line in reversed(lines)]

    def _said(self, body: Any) -> Any:
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": SOLUTION}}
        return {"choices": [choice]} | self._counts(30, 12)

    def _counts(self, prompt: int, completion: int) -> Any:
        return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}} if self.usage else {}

    def _rows(self, body: Any) -> Any:
        ids = body["input"]
        return {"data": [{"data": [self._row(ids, place) for place in range(len(ids))]}]}

    def _row(self, ids: list[int], place: int) -> list[float]:
        return [0.0, hash_number(ids[: place + 1]) / 2**62 - 2]

    def _rows_behind_the_cache(self, body: Any) -> Any:
        """As our middleware answers; all but the last token comes from the cache where it was read before."""
        lines = []
        for index, prompt in enumerate(body["prompts"]):
            ids = prompt["ids"]
            cached = max((shared(ids, before) for before in self.read), default=0)
            cached = min(cached, len(ids) - 1)
            self.read.append(ids)
            rows = [self._row(ids, place) for place in prompt["places"] if place >= cached]
            lines.append(json.dumps({"index": index, "answer": {"cached": cached, "rows": rows}}) + "\n")
        return lines

    def _solution(self, body: Any, prompt: list[int]) -> list[int]:
        """The rest of a solution of which some has been written; a drawn one ends in a number of its own."""
        opening = self.tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
        begin = max(at for at in range(len(prompt) + 1) if prompt[:at][-len(opening) :] == opening)
        written = self.tokenizer.decode(prompt[begin:])
        number = 31 if body["temperature"] == 0 else hash_number(prompt, body.get("seed")) % 1000
        whole = SOLUTION if number == 31 else f"20+11={number}\n\n\\boxed{{{number}}}"
        rest = SOLUTION[len(written) :] if SOLUTION.startswith(written) else f"\\boxed{{{number}}}"
        return [*self.tokenizer.encode(rest if written else whole), self.tokenizer.eos_token_id]

    def _written(self, body: Any, tokens: list[int]) -> tuple[list[int], str]:
        for count in range(1, len(tokens) + 1):
            text = self.tokenizer.decode(tokens[:count], skip_special_tokens=True)
            stopped = tokens[count - 1] in (*body["stop_token_ids"], self.tokenizer.eos_token_id)
            if stopped or any(stop in text for stop in body["stop"]):
                return tokens[:count], "stop"
            if count == body["max_tokens"]:
                return tokens[:count], "length"
        return tokens, "length"


def top_of(count: int) -> dict[str, float]:
    """The likeliest tokens at every place, and as vLLM has it one more: the drawn one, which is none of them."""
    return {f"token_id:{rank}": -0.25 * rank for rank in range(count)} | ({"token_id:99": -9.0} if count else {})


def shared(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@asynccontextmanager
async def serving(*servers: ModelServer) -> Any:
    """Some servers, for as long as a block lasts."""
    for server in servers:
        await server.start()
    try:
        yield servers[0]
    finally:
        for server in servers:
            await server.stop()


def policy_at(*servers: ModelServer, **settings: Any) -> OpenAIPolicyConfig:
    endpoints = tuple(server.url for server in servers)
    chosen = {"model": MODEL, "tokenizer": TOKENIZER, "endpoints": endpoints, "patience_seconds": 5}
    return OpenAIPolicyConfig(**(chosen | settings))


def prm_at(*servers: ModelServer, **settings: Any) -> ServedPrmConfig:
    endpoints = tuple(server.url for server in servers)
    chosen = {"model": MODEL, "tokenizer": "zoo/abacus-prm", "endpoints": endpoints, "patience_seconds": 5}
    return ServedPrmConfig(**(chosen | settings))
