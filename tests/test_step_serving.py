"""The middleware for vLLM's server, in an app put together as vLLM's is, on an engine that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import torch
from starlette.applications import Starlette

from overthink.tasks.engines.vllm.step_serving import MIDDLEWARE, ROOT, StepServing, lines_of

pytestmark = pytest.mark.engine  # sampling parameters and the check of keys are vLLM's own
REFUSED, KILLS = 13, 14


class FakeEngine:
    """What the middleware needs of vLLM's engine: the first token of a prompt says how it fares, and how soon."""

    def __init__(self) -> None:
        self.running = 0

    async def generate(self, prompt: dict[str, list[int]], parameters: Any, request_id: str) -> AsyncIterator[Any]:
        ids = prompt["prompt_token_ids"]
        await self._work(ids)
        likeliest = [-0.5, -1.5] * bool(parameters.logprobs)
        logprobs = SimpleNamespace(logprobs=[-1.0, *likeliest, -2.0, *likeliest])
        written = SimpleNamespace(token_ids=[ids[0], parameters.seed], logprobs=logprobs, finish_reason="stop")
        yield SimpleNamespace(outputs=[written], num_cached_tokens=3)

    async def encode(self, prompt: dict[str, list[int]], parameters: Any, request_id: str) -> AsyncIterator[Any]:
        ids = prompt["prompt_token_ids"]
        await self._work(ids)
        assert (parameters.task, parameters.skip_reading_prefix_cache) == ("token_classify", False)
        behind = ids[2:] or ids  # the first two tokens are cached
        yield SimpleNamespace(outputs=SimpleNamespace(data=torch.tensor([[float(token), 0.5] for token in behind])))

    async def _work(self, ids: list[int]) -> None:
        self.running += 1
        try:
            await asyncio.sleep(0.01 / ids[0])
            if ids[0] == REFUSED:
                raise ValueError("too long")
            if ids[0] == KILLS:
                raise RuntimeError("the engine died")
        finally:
            self.running -= 1


def app_of(key: str | None = None) -> Starlette:
    """The check of the key is put in before what `--middleware` names."""
    from vllm.entrypoints.serve.middleware.authenticate import AuthenticationMiddleware

    app = Starlette()
    if key is not None:
        app.add_middleware(AuthenticationMiddleware, tokens=[key])
    app.add_middleware(StepServing)
    app.state.engine_client = FakeEngine()
    app.state.openai_serving_models = SimpleNamespace(is_base_model=lambda name: name == "served")
    return app


def prefixes(*firsts: int, **settings: Any) -> list[dict[str, Any]]:
    sampling = {"temperature": 0.8, "top_p": 1.0, "max_tokens": 4, "stop": ["\n\n"], **settings}
    return [{"ids": [first, 1, 2], "sampling": sampling, "stop_ids": [], "seed": 9} for first in firsts]


async def post(app: Starlette, path: str, body: Any, key: str | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        return await client.post(ROOT + path, json=body, headers=headers)


def lines(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


async def test_each_prompt_is_answered_once_it_is_written() -> None:
    found = lines(await post(app_of(), "/write", {"model": "served", "prompts": prefixes(1, REFUSED, 2)}))
    assert [line["index"] for line in found] == [1, 2, 0]
    assert found[0] == {"index": 1, "refused": "too long"}
    written = {"tokens": [2, 9], "logprobs": [-1.0, -2.0], "finish_reason": "stop", "cached": 3}
    assert found[1] == {"index": 2, "answer": written | {"confidences": None, "entropies": None}}


async def test_it_says_how_sure_the_policy_was_where_it_is_asked() -> None:
    (line,) = lines(await post(app_of(), "/write", {"model": "served", "prompts": prefixes(1, top_logprobs=2)}))
    assert (line["answer"]["logprobs"], line["answer"]["confidences"]) == ([-1.0, -2.0], [1.0, 1.0])
    assert line["answer"]["entropies"] == [0.582203, 0.582203]  # of e^-0.5 and e^-1.5, made to add up to one


async def test_a_prm_gives_the_numbers_behind_the_cache() -> None:
    prompts = [{"ids": [5, 6, 7, 8], "places": [1, 3]}, {"ids": [9], "places": [0]}, {"ids": [7, 7, 7], "places": [0]}]
    found = lines(await post(app_of(), "/read", {"model": "served", "prompts": prompts}))
    assert sorted(found, key=lambda line: line["index"]) == [
        {"index": 0, "answer": {"cached": 2, "rows": [[8.0, 0.5]]}},
        {"index": 1, "answer": {"cached": 0, "rows": [[9.0, 0.5]]}},
        {"index": 2, "answer": {"cached": 2, "rows": []}},
    ]


@pytest.mark.parametrize("path", ["/write", "/read"])
async def test_who_has_no_key_other_models_and_what_cannot_be_read_are_refused(path: str) -> None:
    app = app_of("secret")
    prompts = {"/write": prefixes(1), "/read": [{"ids": [1], "places": [0]}]}[path]
    body = {"model": "served", "prompts": prompts}
    assert (await post(app, path, body)).status_code == 401
    assert (await post(app, path, body, "wrong")).status_code == 401
    assert lines(await post(app, path, body, "secret"))
    assert (await post(app, path, body | {"model": "other"}, "secret")).status_code == 404
    for ids in ([], [-1], "text"):
        spoiled = body | {"prompts": [prompts[0] | {"ids": ids}]}
        assert (await post(app, path, spoiled, "secret")).status_code == 400
    for nonsense in ({}, [], body | {"prompts": []}, body | {"prompts": [prompts[0] | {"places": [9], "seed": "x"}]}):
        assert (await post(app, path, nonsense, "secret")).status_code == 400


async def test_what_the_engine_raises_ends_the_reply_and_stops_the_others() -> None:
    app = app_of()
    with pytest.raises(RuntimeError, match="the engine died"):
        await post(app, "/write", {"model": "served", "prompts": prefixes(1, KILLS)})
    await asyncio.sleep(0)
    assert app.state.engine_client.running == 0


async def test_who_hangs_up_stops_what_is_under_way() -> None:
    stopped = asyncio.Event()

    async def at_once() -> dict[str, Any]:
        return {"tokens": []}

    async def for_ever() -> dict[str, Any]:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()
        return {}

    reply = lines_of([for_ever(), at_once()])
    assert json.loads(await anext(reply)) == {"index": 1, "answer": {"tokens": []}}
    await reply.aclose()  # as Starlette does once the client is gone
    await asyncio.wait_for(stopped.wait(), 1)


def test_the_flag_names_the_class() -> None:
    assert f"{StepServing.__module__}.{StepServing.__qualname__}" == MIDDLEWARE
