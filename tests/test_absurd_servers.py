"""Servers that answer with what cannot be: one message each, in bounded memory and time, and nothing of it is kept."""

import asyncio
import json
import resource
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from model_server import Fault, ModelServer, answering, policy_at, prm_at, serving

from overthink.tasks.engines.http import endpoints, http_client
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.errors import BadReply, EngineDied, EngineUnavailable
from overthink.tasks.records import Sampling

QUESTION = "Take 20, plus 11. What is the result?"
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=200)
STEPS = ("20+11=31", "\\boxed{31}")
TOO_LONG = r"answers with more than 64 MiB, which no reply has: check what it serves"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT", 0.05)


@pytest.fixture
def bounded() -> Iterator[None]:
    """This process, the server included, takes little more memory than the largest reply."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"


def endless(status: int = 200, piece: bytes = b" " * 2**20, pieces: int = 1500) -> Fault:
    """A body of 1.5 GB."""

    async def fault(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(piece)
        return response

    return fault


async def greedy(server: ModelServer, **settings: Any) -> None:
    policy = await open_policy(policy_at(server, **settings))
    try:
        await policy.generate(QUESTION, (), GREEDY, seed=0)
    finally:
        await policy.close()


async def asked_after_opening(server: ModelServer, fault: Fault, **settings: Any) -> None:
    policy = await open_policy(policy_at(server, **settings))
    server.faults = iter([fault] * 1000)
    try:
        await policy.generate(QUESTION, (), GREEDY, seed=0)
    finally:
        await policy.close()


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("settings", [{"tokenizer": None}, {}], ids=["chat", "tokens"])
@pytest.mark.parametrize("middleware", [False, True])
async def test_a_body_of_one_and_a_half_gigabytes_is_refused(settings: dict[str, Any], middleware: bool) -> None:
    async with serving(ModelServer(middleware=middleware)) as server:
        with pytest.raises(BadReply, match=TOO_LONG):
            await asyncio.wait_for(asked_after_opening(server, endless(), **settings), 60)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(("status", "kind"), [(400, BadReply), (500, EngineDied)])
async def test_an_error_of_one_and_a_half_gigabytes_is_read_no_further_than_it_is_quoted(
    status: int, kind: type[Exception]
) -> None:
    async with serving(ModelServer()) as server:
        with pytest.raises(kind, match=f"answered {status}: no no no"):
            fault = endless(status, b"no " * 2**18)
            await asyncio.wait_for(asked_after_opening(server, fault, patience_seconds=0.2), 60)


@pytest.mark.usefixtures("bounded")
async def test_a_prm_with_a_body_of_one_and_a_half_gigabytes_is_refused() -> None:
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        server.faults = iter([endless()])
        with pytest.raises(BadReply, match=TOO_LONG):
            await asyncio.wait_for(prm.score(QUESTION, STEPS, 0), 60)
        await prm.close()


async def test_answers_without_an_end_are_refused() -> None:
    line = {"index": 0, "answer": {"tokens": [5], "logprobs": [-0.5], "finish_reason": "stop", "cached": 0}}
    async with serving(ModelServer(middleware=True)) as server:
        policy = await open_policy(policy_at(server))
        prompts = [policy.generate(QUESTION, (), GREEDY, seed) for seed in range(2)]
        server.faults = iter([endless(200, (json.dumps(line) + "\n").encode() * 1000)])
        found = await asyncio.wait_for(asyncio.gather(*prompts, return_exceptions=True), 60)
        assert any(isinstance(one, BadReply) and "more answers than it was asked" in str(one) for one in found)
        await policy.close()


def choice(**fields: Any) -> Callable[[Any], Any]:
    return lambda reply: reply | {"choices": [reply["choices"][0] | fields]}


def of_one_token(token: int = 5, logprob: float = -0.5) -> Callable[[Any], Any]:
    return choice(token_ids=[token], logprobs={"token_logprobs": [logprob]})


def usage(**counts: Any) -> Callable[[Any], Any]:
    return lambda reply: reply | {"usage": counts}


NAN, INFINITY = float("nan"), float("inf")
WRITTEN = [
    (of_one_token(-1), "unusable choices.0.token_ids.0"),
    (of_one_token(10**30), "unusable choices.0.token_ids.0"),
    (of_one_token(345_678), r"a token that is none of the tokenizer's \d+"),
    (of_one_token(logprob=NAN), "unusable choices.0.logprobs.token_logprobs.0"),
    (of_one_token(logprob=-INFINITY), "unusable choices.0.logprobs.token_logprobs.0"),
    (of_one_token(logprob=3.0), "log-probability is none"),
    (choice(token_ids=[5] * 999, logprobs={"token_logprobs": [-0.5] * 999}), "999 tokens, 200 being asked for"),
    (usage(prompt_tokens=-1), "unusable usage.prompt_tokens"),
    (usage(completion_tokens=2**40), "unusable usage.completion_tokens"),
    (usage(completion_tokens=1.5), "unusable usage.completion_tokens"),
    (usage(prompt_tokens_details={"cached_tokens": -7}), "unusable usage.prompt_tokens_details.cached_tokens"),
    (usage(prompt_tokens_details={"cached_tokens": 10_000}), "10000 cached tokens of a prompt of"),
]


@pytest.mark.parametrize(("change", "told"), WRITTEN)
async def test_counts_ids_and_probabilities_that_cannot_be_are_bad_replies(change: Any, told: str) -> None:
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        server.change = change
        with pytest.raises(BadReply, match=told):
            await policy.generate(QUESTION, (), GREEDY, seed=0)
        await policy.close()


@pytest.mark.parametrize("counts", [{"prompt_tokens": -1}, {"completion_tokens": 10**30}])
async def test_a_chats_counts_that_cannot_be_are_bad_replies(counts: dict[str, Any]) -> None:
    async with serving(ModelServer(change=usage(**counts))) as server:
        with pytest.raises(BadReply, match=f"{server.url}/chat/completions answered with an unusable usage"):
            await greedy(server, tokenizer=None)


@pytest.mark.parametrize(
    "fields", [{"tokens": [-5]}, {"logprobs": [NAN]}, {"cached": -1}, {"cached": 10**12}, {"tokens": [345_678]}]
)
async def test_a_middlewares_answer_that_cannot_be_is_a_bad_reply(fields: dict[str, Any]) -> None:
    answer = {"tokens": [5], "logprobs": [-0.5], "finish_reason": "stop", "cached": 0} | fields
    async with serving(ModelServer(middleware=True)) as server:
        policy = await open_policy(policy_at(server))
        server.change = lambda _: [json.dumps({"index": 0, "answer": answer}) + "\n"]
        with pytest.raises(BadReply, match=r"unusable answer|none of the tokenizer's"):
            await policy.generate(QUESTION, (), GREEDY, seed=0)
        await policy.close()


@pytest.mark.parametrize("number", [NAN, INFINITY, 1e400])
async def test_a_prms_number_that_is_none_is_a_bad_reply(number: float) -> None:
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        server.change = lambda reply: {"data": [{"data": [[number, 0.0] for _ in reply["data"][0]["data"]]}]}
        with pytest.raises(BadReply, match=r"unusable data.0.data.0.0"):
            await prm.score(QUESTION, STEPS, 0)
        await prm.close()


@pytest.mark.parametrize("length", [-1, 0, 10**30])
async def test_a_context_that_cannot_be_is_refused_at_the_start(length: int) -> None:
    async with serving(ModelServer(max_model_len=length)) as server:
        with pytest.raises(EngineUnavailable, match="unusable data.0.max_model_len"):
            await greedy(server)


@pytest.mark.parametrize("header", ["9" * 5000, "Sat, 01 Jan 0001 00:00:00 +2359", "nan", "-1"])
async def test_a_pause_that_cannot_be_ends_with_patience(header: str) -> None:
    async with serving(ModelServer()) as server:
        fault = answering(503, "later", {"Retry-After": header})
        with pytest.raises(EngineDied, match="answered 503: later"):
            await asyncio.wait_for(asked_after_opening(server, fault, patience_seconds=0.2), 60)


def test_what_is_bounded_is_more_than_any_reply_has() -> None:
    """Numbers of a PRM for a million tokens, as long as floats are written."""
    assert len(json.dumps([[-1.2345678901234567e-05, -1.2345678901234567e-05]])) * 2**20 < http_client.LARGEST_REPLY
