"""A policy's server with our middleware: what goes in one request, how lines come back, and its faults."""

import asyncio
import json
import logging
from typing import Any

import pytest
from model_server import GARBAGE, ModelServer, answering, hanging_up, policy_at, serving

from overthink.tasks.engines.http import endpoints
from overthink.tasks.engines.http.openai_policy import CompletionsPolicy, PromptPrefix
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.errors import BadReply, EngineUnavailable
from overthink.tasks.records import Sample, Sampling

QUESTION = "Take 20, plus 11. What is the result?"
ANSWER = {"tokens": [5], "logprobs": [-0.5], "finish_reason": "stop", "cached": 0}
STEP = Sampling(temperature=0.8, top_p=1.0, max_tokens=64, stop=("\n\n",))


async def opened(*servers: ModelServer, **settings: Any) -> CompletionsPolicy:
    policy = await open_policy(policy_at(*servers, **settings))
    assert isinstance(policy, CompletionsPolicy)
    return policy


async def drawn(policy: CompletionsPolicy, count: int) -> list[Sample]:
    return await asyncio.gather(*(policy.generate(QUESTION, (), STEP, seed) for seed in range(count)))


def asked_for(server: ModelServer) -> list[int]:
    """How many prompts each request to the middleware had, the opening aside."""
    return [len(body["prompts"]) for body in server.bodies if "prompts" in body][1:]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.01)


async def test_what_is_written_is_what_the_completions_endpoint_writes() -> None:
    async with serving(ModelServer()) as plain:
        without = await opened(plain)
        expected = await drawn(without, 100)
        await without.close()
    async with serving(ModelServer(middleware=True)) as server:
        policy = await opened(server)
        samples = await drawn(policy, 100)
        first, whole = samples[0], Sampling(temperature=0.0, top_p=1.0, max_tokens=64)
        rest = await policy.generate(QUESTION, (first,), whole, 0)
        await policy.close()
    assert [(s.text, s.tokens, s.logprobs, s.stop_reason) for s in samples] == [
        (s.text, s.tokens, s.logprobs, s.stop_reason) for s in expected
    ]
    assert rest.stop_reason == "stop"
    assert sorted(asked_for(server)) == [1, 36, 64]
    assert all("prompts" in body for body in server.bodies)


async def test_a_reply_that_breaks_off_is_asked_again_for_what_it_left_open(impatient: None) -> None:
    """Also in the middle of a line, and where the connection breaks."""

    def first_half(lines: list[str]) -> list[str]:
        return [*lines[: len(lines) // 2], lines[-1][:20]] if len(lines) > 2 else lines

    async with serving(ModelServer(middleware=True, change=first_half)) as server:
        policy = await opened(server)
        server.faults = iter([hanging_up])
        samples = await drawn(policy, 16)
        await policy.close()
    assert asked_for(server) == [16, 16, 8, 4, 2]
    assert len({sample.text for sample in samples}) > 8


@pytest.mark.parametrize("fault", [GARBAGE, answering(500), answering(429, headers={"Retry-After": "0"})])
async def test_a_fault_that_passes_is_asked_again(fault: Any, impatient: None) -> None:
    async with serving(ModelServer(middleware=True)) as server:
        policy = await opened(server)
        server.faults = iter([fault])
        assert len(await drawn(policy, 3)) == 3
        await policy.close()
    assert asked_for(server) == [3, 3]


async def test_a_refused_prompt_is_told_to_the_one_who_asked_it() -> None:
    async with serving(ModelServer(middleware=True, max_model_len=100)) as server:
        policy = await opened(server)
        (prompt, *_) = [list(policy.prompt(QUESTION))]
        both = [PromptPrefix(ids, STEP, [], 0) for ids in (prompt, [5] * 101)]
        written, refused = await asyncio.gather(*map(policy._steps.ask, both), return_exceptions=True)
        await policy.close()
    assert not isinstance(written, BaseException)
    assert isinstance(refused, BadReply)
    assert "refused a prompt: too long" in str(refused)
    assert asked_for(server) == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": 7}, "answered prompt 7 of 1"),
        ({"index": -1}, "unusable index"),
        ({"answer": ANSWER | {"logprobs": []}}, "0 log-probabilities for"),
        ({"answer": ANSWER | {"tokens": "none"}}, "unusable answer.tokens"),
        ({"answer": ANSWER | {"finish_reason": "abort"}}, "ended a request with 'abort'"),
        ({"answer": {"finish_reason": "stop", "cached": 0}}, "unusable answer.tokens"),
        ({"answer": None}, "neither why nor anything else"),
    ],
)
async def test_a_line_that_is_no_answer_is_told(change: dict[str, Any], message: str) -> None:
    async with serving(ModelServer(middleware=True)) as server:
        policy = await opened(server)
        server.change = lambda lines: [json.dumps(json.loads(line) | change) + "\n" for line in lines]
        with pytest.raises(BadReply, match=message):
            await drawn(policy, 1)
        await policy.close()


async def test_endpoints_without_the_middleware_are_asked_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    other = ModelServer()
    async with serving(ModelServer(middleware=True), other) as server:
        policy = await opened(server, other)
        assert len(await drawn(policy, 100)) == 100
        await policy.close()
    assert any("prompt" in body for body in other.bodies)
    (told,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{other.url}/steps/write answered 404" in told


async def test_whoever_has_gone_is_not_asked_for_and_others_are_answered() -> None:
    async with serving(ModelServer(middleware=True, latency=0.05)) as server:
        policy = await opened(server)
        gone = asyncio.create_task(policy.generate(QUESTION, (), STEP, 0))
        stays = asyncio.create_task(policy.generate(QUESTION, (), STEP, 1))
        await asyncio.sleep(0.02)
        gone.cancel()
        assert (await stays).text
        late = asyncio.create_task(policy.generate(QUESTION, (), STEP, 2))
        await asyncio.sleep(0.02)
        await policy.close()
        with pytest.raises(asyncio.CancelledError):
            await late


async def test_a_refused_key_ends_the_opening() -> None:
    async with serving(ModelServer(middleware=True, faults=iter([answering(401)]))) as server:
        with pytest.raises(EngineUnavailable, match="401"):
            await opened(server)
