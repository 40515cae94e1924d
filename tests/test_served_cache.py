"""A PRM's server with our middleware: what it reads from its cache, what goes in one request, and its faults."""

import asyncio
import json
from typing import Any

import pytest
from model_server import GARBAGE, ModelServer, prm_at, serving

from overthink.tasks.engines.http.served_prm import ServedPrm
from overthink.tasks.engines.prm.layouts import PrmPrompt
from overthink.tasks.engines.registry import open_prm
from overthink.tasks.engines.torch.torch_models import scores_of
from overthink.tasks.errors import BadReply, EngineUnavailable

QUESTION = "Take 20, plus 11. What is the result?"
STEPS = ("20+11=31", "31*2=62", "\\boxed{62}")


def answer(line: Any, **change: Any) -> Any:
    """A line whose answer is another."""
    return line | {"answer": line["answer"] | change}


async def whole(question: str, steps: tuple[str, ...]) -> tuple[float, ...]:
    """What a server without the middleware scores."""
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        scores = await prm.score(question, steps, 0)
        await prm.close()
    assert scores.cached_tokens == 0
    return tuple(scores.values)


async def test_what_lies_in_the_cache_is_remembered_and_scored_alike() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        one_by_one = [await prm.score(QUESTION, STEPS[:count], count - 1) for count in (1, 2, 3)]
        again = await prm.score(QUESTION, STEPS, 0)
        await prm.close()
    assert [value for scores in one_by_one for value in scores.values] == pytest.approx(await whole(QUESTION, STEPS))
    assert again.values == pytest.approx(await whole(QUESTION, STEPS))
    cached = [scores.cached_tokens or 0 for scores in (*one_by_one, again)]
    assert 0 < cached[1] < cached[2] <= cached[3] == again.input_tokens - 1


async def test_what_another_client_put_into_the_cache_is_read_anew() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        for _ in range(2):
            prm = await open_prm(prm_at(server))
            assert (await prm.score(QUESTION, STEPS, 0)).values == pytest.approx(await whole(QUESTION, STEPS))
            await prm.close()
        assert "input" in server.bodies[-1]


async def test_a_prompt_whose_places_all_lie_in_the_cache_has_no_rows() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        assert isinstance(prm, ServedPrm)
        prompt = PrmPrompt(ids=(5, 6, 7), places=(1,))
        assert len((await prm._read(prompt, QUESTION, use_cache=True)).logits) == 1
        read = await prm._read(prompt, QUESTION, use_cache=True)
        await prm.close()
    assert (scores_of(read.logits), read.cached) == ([], 2)


async def test_prompts_of_one_moment_go_in_one_request() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        before = len(server.bodies)
        found = await asyncio.gather(*(prm.score(f"{QUESTION} {number}", STEPS, 0) for number in range(100)))
        await prm.close()
        sizes = [len(body["prompts"]) for body in server.bodies[before:]]
    assert sorted(sizes) == [36, 64]
    assert found[7].values == pytest.approx(await whole(f"{QUESTION} 7", STEPS))


async def test_a_fault_that_passes_is_asked_again_together() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        server.faults = iter([GARBAGE])
        assert (await prm.score(QUESTION, STEPS, 0)).values == pytest.approx(await whole(QUESTION, STEPS))
        assert "prompts" in server.bodies[-1]
        await prm.close()


async def test_an_endpoint_without_the_middleware_is_asked_whole() -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        server.middleware = False
        assert (await prm.score(QUESTION, STEPS, 0)).values == pytest.approx(await whole(QUESTION, STEPS))
        assert "input" in server.bodies[-1]
        await prm.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda line: line | {"index": 9}, "answered prompt 9 of 1"),
        (lambda line: {"index": 0, "refused": "another task"}, "refused a prompt: another task"),
        (lambda line: answer(line, rows=line["answer"]["rows"][:-1]), r"rows for \d places"),
        (lambda line: answer(line, cached=9999), "9999 tokens being cached"),
        (lambda line: {"index": 0, "answer": {"rows": line["answer"]["rows"]}}, "unusable answer.cached"),
        (lambda line: {"index": 0}, "neither why nor anything else"),
        (lambda line: answer(line, rows=[[1.0] * 3] * len(line["answer"]["rows"])), "1 or 2"),
        (lambda line: answer(line, rows=[[None]] * len(line["answer"]["rows"])), "unusable answer.rows"),
    ],
    ids=[
        *("another prompt", "refused", "a row short", "too much cached", "nothing cached", "no answer"),
        *("three numbers", "null for NaN"),
    ],
)
async def test_a_middleware_that_answers_nonsense_is_told_and_not_gone_around(change: Any, told: str) -> None:
    async with serving(ModelServer(middleware=True)) as server:
        prm = await open_prm(prm_at(server))
        server.change = lambda lines: [json.dumps(change(json.loads(line))) + "\n" for line in lines]
        with pytest.raises(BadReply, match=told):
            await prm.score(QUESTION, STEPS, 0)
        with pytest.raises(EngineUnavailable, match=told):
            await open_prm(prm_at(server))
        await prm.close()
