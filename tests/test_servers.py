"""Engines behind HTTP: every fault that a server can have, what it costs, and what is told of it."""

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from model_server import (
    GARBAGE,
    MODEL,
    SOLUTION,
    Fault,
    ModelServer,
    answering,
    hanging,
    hanging_up,
    policy_at,
    prm_at,
    serving,
)
from pydantic import ValidationError

from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.engines.http import endpoints
from overthink.tasks.engines.http.http_client import pause_asked_for
from overthink.tasks.engines.registry import identify, open_policy, open_prm
from overthink.tasks.errors import BadReply, EngineDied, EngineUnavailable
from overthink.tasks.records import Sample, Sampling, UserTurn

QUESTION = "Take 20, plus 11. What is the result?"
STEPS = ("20+11=31", "\\boxed{31}")
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=200)
NOTHING_SAID = PromptConfig()
DRAWN = Sampling(temperature=1.0, top_p=1.0, max_tokens=200)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT", 0.05)


async def greedy(server: ModelServer, *faults: Fault, **settings: Any) -> Sample:
    """One greedy solution from a policy that is opened before the faults begin."""
    policy = await open_policy(policy_at(server, **settings))
    server.faults = iter(faults)
    try:
        return await policy.generate(QUESTION, (), GREEDY, seed=0)
    finally:
        await policy.close()


@pytest.mark.parametrize(
    "fault",
    [answering(500, "out of memory"), answering(503), answering(429), GARBAGE, hanging_up],
    ids=["500", "503", "429", "garbage", "disconnect in the body"],
)
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_what_may_pass_is_asked_again(fault: Fault, times: int) -> None:
    async with serving(ModelServer()) as server:
        sample = await greedy(server, *[fault] * times)
        assert sample.text == SOLUTION
        assert len(server.bodies) == 1 + times + 1


async def test_a_hanging_request_is_given_up_and_made_again() -> None:
    async with serving(ModelServer()) as server:
        assert (await greedy(server, hanging, timeout_seconds=0.5)).text == SOLUTION


async def test_a_pause_that_is_asked_for_is_kept() -> None:
    arrivals: list[float] = []

    async def busy(request: Any) -> Any:
        arrivals.append(time.monotonic())
        return await answering(429, "slow down", {"Retry-After": "1"})(request)

    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        server.faults = iter([busy])
        await policy.generate(QUESTION, (), GREEDY, seed=0)
        again = await asyncio.gather(*(policy.generate(QUESTION, (), DRAWN, seed) for seed in range(4)))
        await policy.close()
    assert time.monotonic() - arrivals[0] >= 1
    assert len(again) == 4


async def test_a_pause_longer_than_patience_ends_the_run_at_once() -> None:
    async with serving(ModelServer()) as server:
        with pytest.raises(EngineDied, match=r"429.*quota"):
            await greedy(server, answering(429, "quota", {"Retry-After": "3600"}))


async def test_an_endless_429_is_a_death_once_nobody_is_answered_any_more() -> None:
    async with serving(ModelServer()) as server:
        with pytest.raises(EngineDied, match="429: insufficient quota"):
            await greedy(server, *[answering(429, "insufficient quota")] * 500, patience_seconds=0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0", 0),
        (format_datetime(datetime.fromtimestamp(1060, UTC), usegmt=True), 60),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert pause_asked_for(header, now=1000) == seconds


def test_waits_double_are_drawn_by_lot_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.5)
    monkeypatch.setattr(endpoints, "LONGEST_WAIT", 30.0)
    for failures, longest in [(1, 0.5), (2, 1), (5, 8), (7, 30), (10_000, 30)]:
        waits = [endpoints.waiting(failures) for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


async def test_where_nobody_answers_the_engine_is_unavailable_with_endpoint_and_remedy() -> None:
    nobody = ModelServer()
    for config, opener in ((policy_at(nobody), open_policy), (prm_at(nobody), open_prm)):
        with pytest.raises(EngineUnavailable, match=rf"no endpoint of served answers.*{nobody.port}.*start the server"):
            await opener(config)  # type: ignore[operator]
    with pytest.raises(EngineUnavailable, match="no endpoint of served answers"):
        await open_policy(policy_at(nobody, tokenizer=None))


async def test_a_server_that_dies_is_an_engine_that_died_and_may_come_back() -> None:
    server = ModelServer()
    config = policy_at(server, patience_seconds=0.5)
    slot: EngineSlot[Any] = EngineSlot(config, open_policy)
    async with serving(server):
        policy = await slot.get()
        await policy.generate(QUESTION, (), GREEDY, seed=0)
    with pytest.raises(EngineDied, match=rf"{server.port}.*restart what serves it"):
        await policy.generate(QUESTION, (), GREEDY, seed=0)
    await slot.discard(policy)
    with pytest.raises(EngineDied, match="no endpoint of served answers"):
        await slot.get()
    async with serving(server):
        policy = await slot.get()
        assert (await policy.generate(QUESTION, (), GREEDY, seed=0)).text == SOLUTION
        await slot.close()


async def test_a_restart_within_patience_is_waited_for() -> None:
    server = ModelServer()
    async with serving(server):
        policy = await open_policy(policy_at(server, patience_seconds=60))
    asked = asyncio.gather(*(policy.generate(QUESTION, (), GREEDY, seed=0) for _ in range(20)))
    await asyncio.sleep(0.3)
    assert not asked.done()
    async with serving(server):
        assert {sample.text for sample in await asked} == {SOLUTION}
    await policy.close()


async def test_the_others_take_over_from_a_dead_endpoint() -> None:
    dead, alive = ModelServer(), ModelServer()
    async with serving(alive):
        async with serving(dead):
            policy = await open_policy(policy_at(dead, alive))
        samples = await asyncio.gather(*(policy.generate(QUESTION, (), DRAWN, seed) for seed in range(40)))
        alone = await policy.generate(QUESTION, (), DRAWN, 0)
        await policy.close()
    assert len(samples) == 40
    assert samples[0] == alone


async def test_a_dead_endpoint_gets_small_questions_only_until_it_is_back() -> None:
    broken, alive = ModelServer(), ModelServer()
    async with serving(alive, broken):
        policy = await open_policy(policy_at(broken, alive))
        broken.bodies.clear()
        broken.faults, broken.models_status = itertools.repeat(answering(500, "CUDA error")), 500
        for seed in range(20):
            await policy.generate(QUESTION, (), DRAWN, seed)
        assert len(broken.bodies) == endpoints.FAILURES_UNTIL_DOWN
        broken.models_status = 200  # it answers the small question, but still fails at its work
        while len(broken.bodies) == endpoints.FAILURES_UNTIL_DOWN:
            await policy.generate(QUESTION, (), DRAWN, 0)
        broken.faults = iter(())
        broken.bodies.clear()
        while len(broken.bodies) < 20:  # it is back among those that are asked
            await asyncio.gather(*(policy.generate(QUESTION, (), DRAWN, seed) for seed in range(8)))
        await policy.close()


async def test_the_slow_endpoint_gets_less() -> None:
    slow, fast = ModelServer(latency=0.5), ModelServer(latency=0.01)
    async with serving(slow, fast):
        policy = await open_policy(policy_at(slow, fast))
        turns = asyncio.Semaphore(8)

        async def one(seed: int) -> None:
            async with turns:
                await policy.generate(QUESTION, (), DRAWN, seed)

        await asyncio.gather(*map(one, range(60)))
        await policy.close()
    assert len(slow.bodies) < 20 < 40 < len(fast.bodies)


async def test_a_cancelled_request_is_cancelled_at_the_server_too() -> None:
    ended = asyncio.Event()

    async def noting(request: Any) -> Any:
        try:
            return await hanging(request)
        finally:
            ended.set()

    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        server.faults = iter([noting])
        asked = asyncio.create_task(policy.generate(QUESTION, (), GREEDY, seed=0))
        while len(server.bodies) < 2:
            await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.wait_for(ended.wait(), 60)
        await policy.close()


@pytest.mark.parametrize("status", [400, 404, 422, 302])
async def test_a_refused_request_is_a_bad_reply_and_not_repeated(status: int) -> None:
    async with serving(ModelServer()) as server:
        with pytest.raises(BadReply, match=rf"{server.url}/completions answered {status}: no such thing"):
            await greedy(server, answering(status, "no such thing"))
        assert len(server.bodies) == 2


def without(*names: str) -> Any:
    """A change to a reply: its first choice lacks some fields."""

    def change(reply: Any) -> Any:
        choice = {key: value for key, value in reply["choices"][0].items() if key not in names}
        return reply | {"choices": [choice]}

    return change


def with_choice(**fields: Any) -> Any:
    return lambda reply: reply | {"choices": [reply["choices"][0] | fields]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("token_ids"), "no token ids.*vLLM"),
        (without("prompt_token_ids"), "no token ids.*vLLM"),
        (with_choice(prompt_token_ids=[1, 2]), "other tokens than it was sent"),
        (with_choice(token_ids=[1, 2, 3, 4]), "log-probabilities for 4 tokens"),
        (with_choice(logprobs=None), "gave 0 log-probabilities"),
        (with_choice(logprobs={"token_logprobs": [None]}), "unusable choices.0.logprobs"),
        (with_choice(finish_reason="error"), "ended a request with 'error'"),
        (lambda reply: {"choices": []}, "unusable choices"),
        (lambda reply: [1], "unusable reply"),
    ],
)
async def test_a_reply_that_cannot_be_used_is_told_with_the_endpoint(change: Any, told: str) -> None:
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        server.change = change
        with pytest.raises(BadReply, match=told):
            await policy.generate(QUESTION, (), GREEDY, seed=0)
        await policy.close()


async def test_an_endpoint_that_cannot_continue_a_prefix_is_refused_before_the_start() -> None:
    async with serving(ModelServer(change=without("token_ids"))) as server:
        with pytest.raises(EngineUnavailable, match=r"no prefix can be continued.*leave out `tokenizer`"):
            await open_policy(policy_at(server))


async def test_an_endpoint_of_another_model_is_refused_with_what_it_serves() -> None:
    async with serving(ModelServer()) as server:
        for config, opener in ((policy_at(server, model="gpt"), open_policy), (prm_at(server, model="gpt"), open_prm)):
            with pytest.raises(EngineUnavailable, match=rf"{server.port}.* serves {MODEL}, not gpt"):
                await opener(config)  # type: ignore[operator]


async def test_a_server_with_a_shorter_context_than_the_recipe_is_refused() -> None:
    async with serving(ModelServer(max_model_len=256)) as server:
        with pytest.raises(EngineUnavailable, match="served with 256 tokens, but max_model_len is 512"):
            await open_policy(policy_at(server, max_model_len=512))


async def test_no_more_is_asked_for_than_the_context_has_room_for() -> None:
    async with serving(ModelServer(max_model_len=100)) as server:
        policy = await open_policy(policy_at(server))
        length = len(policy.prompt(QUESTION))
        await policy.generate(QUESTION, (), GREEDY, seed=0)
        assert server.bodies[-1]["max_tokens"] == 100 - length
        with pytest.raises(BadReply, match="it reads 100 tokens"):
            await policy.generate(QUESTION * 5, (), GREEDY, seed=0)
        path = (Sample("x", (1,) * (100 - length), (1,) * (100 - length), (-1.0,) * (100 - length), "delimiter", 9),)
        assert (await policy.generate(QUESTION, path, GREEDY, seed=0)).stop_reason == "length"
        await policy.close()


async def test_the_tokens_of_a_prefix_are_sent_as_they_were_written() -> None:
    step = Sampling(temperature=0.0, top_p=1.0, max_tokens=200, stop=("\n\n",))
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server))
        first = await policy.generate(QUESTION, (), step, seed=0)
        await policy.generate(QUESTION, (first,), step, seed=0)
        await policy.close()
        prompt = list(policy.prompt(QUESTION))
        assert [body["prompt"] for body in server.bodies[-2:]] == [prompt, [*prompt, *first.tokens]]


async def test_nothing_of_the_models_own_sampling_settings_is_left_to_the_server() -> None:
    async with serving(ModelServer()) as server:
        await greedy(server)
        (body,) = server.bodies[-1:]
        assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (0, 0.0, 1.0)
        assert (body["presence_penalty"], body["frequency_penalty"], body["top_p"]) == (0.0, 0.0, 1.0)
        assert (body["temperature"], body["max_tokens"], body["seed"], body["logprobs"]) == (0.0, 200, 0, 0)


async def test_a_policy_that_only_the_journal_writes_again_is_sent_no_seed() -> None:
    for tokenizer in ("zoo/abacus-1m", None):
        async with serving(ModelServer()) as server:
            policy = await open_policy(policy_at(server, tokenizer=tokenizer, reproducible="journal"))
            server.bodies.clear()
            await policy.generate(QUESTION, (), GREEDY, seed=7)
            await policy.close()
            (body,) = server.bodies
            assert "seed" not in body


async def sure_of(server: ModelServer) -> Sample:
    policy = await open_policy(policy_at(server))
    try:
        return await policy.generate(QUESTION, (), replace(GREEDY, top_logprobs=20), seed=0)
    finally:
        await policy.close()


async def test_confidences_are_of_the_twenty_likeliest_without_the_drawn_token_that_is_none_of_them() -> None:
    async with serving(ModelServer()) as server:
        sample = await sure_of(server)
        assert server.bodies[-1]["return_tokens_as_token_ids"] is True
    assert sample.confidences == (2.375,) * len(sample.tokens)  # of 0, -0.25, … -4.75


async def test_without_the_twenty_likeliest_confidences_stay_unknown_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusing = answering(400, "logprobs of 20 is greater than max allowed: 5")
    silent = with_choice(logprobs={"token_logprobs": [-0.5]})
    for server in (ModelServer(faults=iter([refusing])), ModelServer(change=silent)):
        async with serving(server):
            policy = await open_policy(policy_at(server))
            sample = await policy.generate(QUESTION, (), Sampling(0.0, 1.0, 1, top_logprobs=20), seed=0)
            await policy.close()
        assert (sample.confidences, len(sample.tokens)) == (None, 1)
        assert server.bodies[-1]["logprobs"] == 0
        assert "--max-logprobs 20" in caplog.messages[-1]


async def chat(server: ModelServer, said: PromptConfig = NOTHING_SAID, **settings: Any) -> Sample:
    policy = await open_policy(policy_at(server, tokenizer=None, **settings).asked_by(MATH.name, said))
    try:
        return await policy.generate(QUESTION, (), GREEDY, seed=7)
    finally:
        await policy.close()


async def test_a_chat_endpoint_shows_no_tokens_and_they_stay_unknown() -> None:
    async with serving(ModelServer()) as server:
        sample = await chat(server)
        assert sample.text == SOLUTION
        assert (sample.prompt_tokens, sample.completion_tokens, sample.cached_tokens) == (30, 12, None)
        assert sample.logprob_sum is None
        (body,) = server.bodies
        assert body["messages"][-1] == {"role": "user", "content": QUESTION}
        assert set(body) == {"model", "messages", "temperature", "top_p", "max_tokens", "seed"}
    async with serving(ModelServer(usage=False)) as server:
        sample = await chat(server)
        assert (sample.prompt_tokens, sample.completion_tokens) == (None, None)


async def test_examples_and_the_templates_variables_go_to_a_chat_endpoint_as_they_are() -> None:
    shot = {"user": "1+1? <|im_end|>", "assistant": "2"}
    said = PromptConfig.model_validate(
        {
            "style": "plain",
            "system": "Be brief.",
            "few_shot": [shot],
            "chat_template_kwargs": {"enable_thinking": False},
        }
    )
    async with serving(ModelServer()) as server:
        await chat(server, said)
        (body,) = server.bodies
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("system", "Be brief."),
        ("user", shot["user"]),
        ("assistant", "2"),
        ("user", QUESTION),
    ]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


async def test_a_chat_that_is_cut_or_filtered_says_so() -> None:
    async with serving(ModelServer(change=with_choice(finish_reason="length"))) as server:
        assert (await chat(server)).stop_reason == "length"
    async with serving(ModelServer(change=with_choice(finish_reason="content_filter"))) as server:
        with pytest.raises(BadReply, match="content_filter"):
            await chat(server)
    async with serving(ModelServer(change=with_choice(message={"content": None}))) as server:
        with pytest.raises(BadReply, match="no whole text"):
            await chat(server)


async def test_a_chat_goes_on_from_no_step() -> None:
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server, tokenizer=None))
        step = Sample("x", (1,), (1,), (-1.0,), "delimiter", 9)
        with pytest.raises(BadReply, match="name its `tokenizer`"):
            await policy.generate(QUESTION, (step,), GREEDY, seed=0)
        with pytest.raises(BadReply, match="name its `tokenizer`"):
            await policy.generate(QUESTION, (step, UserTurn("Again."), step), GREEDY, seed=0)
        with pytest.raises(BadReply, match="name its `tokenizer`"):
            policy.tokens("x", begins=True)
        await policy.close()


async def test_a_chat_goes_on_from_answers_and_turns_as_messages() -> None:
    answer = Sample("It is 2.", (), (), (), "stop", 9, shown=False)
    path = (answer, UserTurn("Is it?"), replace(answer, text="No."), UserTurn("Again."))
    async with serving(ModelServer()) as server:
        policy = await open_policy(policy_at(server, tokenizer=None))
        assert (await policy.generate(QUESTION, path, GREEDY, seed=0)).text == SOLUTION
        assert len({policy.tokens_of(part) for part in (*path, UserTurn("No."))}) == 5, "no two are one call"
        await policy.close()
        (body,) = server.bodies
    assert [(message["role"], message["content"]) for message in body["messages"]][-5:] == [
        ("user", QUESTION),
        ("assistant", "It is 2."),
        ("user", "Is it?"),
        ("assistant", "No."),
        ("user", "Again."),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda reply: {"data": [{"data": reply["data"][0]["data"][:-1]}]}, r"gave \d+ rows for \d+ tokens"),
        (lambda reply: {"data": [{"data": [[1.0, 2.0, 3.0] for _ in reply["data"][0]["data"]]}]}, "not of 1 or 2"),
        (lambda reply: {"data": [{"data": [[None, 1.0] for _ in reply["data"][0]["data"]]}]}, "unusable data"),
        (lambda reply: {"data": []}, "unusable data"),
    ],
    ids=["short", "three numbers", "null for NaN", "none"],
)
async def test_a_prm_that_answers_nonsense_is_a_bad_reply_and_refused_at_the_start(change: Any, told: str) -> None:
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        server.change = change
        with pytest.raises(BadReply, match=told):
            await prm.score(QUESTION, STEPS, 0)
        with pytest.raises(EngineUnavailable, match=r"flags of its family \(docs/servers.md\)"):
            await open_prm(prm_at(server))
        await prm.close()


async def test_the_prm_is_asked_for_bare_numbers_of_every_token() -> None:
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        scores = await prm.score(QUESTION, STEPS, 1)
        await prm.close()
        body = server.bodies[-1]
        assert (body["task"], body["use_activation"], len(body["input"])) == (
            "token_classify",
            False,
            scores.input_tokens,
        )


def test_an_endpoint_is_a_plain_url_and_its_key_a_name() -> None:
    for wrong in ("ftp://host/v1", "host:8000", "http://user:secret@host/v1", "http://host/v1?key=secret"):
        with pytest.raises(ValidationError, match="endpoint"):
            policy_at(endpoints=(wrong,))
    with pytest.raises(ValidationError):
        policy_at(endpoints=("http://host/v1",), api_key_env="sk-proj-1234")
    with pytest.raises(ValidationError, match="listed twice"):
        policy_at(endpoints=("http://host/v1", "http://host/v1"))


def test_identity_is_what_the_model_is_and_not_where_it_is_served() -> None:
    here = policy_at(endpoints=("http://here/v1",))
    elsewhere = policy_at(
        endpoints=("https://there/v1", "https://beyond/v1"), api_key_env="KEY", timeout_seconds=1, max_in_flight=3
    )
    assert identify(here) == identify(elsewhere)
    others = [
        policy_at(endpoints=("http://here/v1",), **change)
        for change in ({"model": "other"}, {"revision": "2"}, {"tokenizer": None}, {"prompt_style": "plain"})
    ]
    assert len({identify(config).address for config in [here, *others]}) == 5
    assert identify(here).parameters is None
    scored = prm_at(endpoints=("http://here/v1",))
    assert identify(scored) != identify(prm_at(endpoints=("http://here/v1",), revision="2"))
