"""A PRM's server with our plugin: what it reads from its cache, what goes in one request, and its faults."""

import asyncio
from importlib.metadata import entry_points
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from model_server import GARBAGE, ModelServer, answering, prm_at, serving
from pydantic import ValidationError

from tasks.engines.catalogue import open_prm
from tasks.engines.prm_prompts import PrmPrompt
from tasks.engines.served_prm import ServedPrm
from tasks.engines.step_pooling import PLUGIN, StepPooling
from tasks.engines.torch_models import scores_of
from tasks.errors import BadReply, EngineUnavailable

QUESTION = "Take 20, plus 11. What is the result?"
STEPS = ("20+11=31", "31*2=62", "\\boxed{62}")


async def whole(question: str, steps: tuple[str, ...]) -> tuple[float, ...]:
    """What a server without the plugin scores."""
    async with serving(ModelServer()) as server:
        prm = await open_prm(prm_at(server))
        scores = await prm.score(question, steps, 0)
        await prm.close()
    assert scores.cached_tokens == 0
    return tuple(scores.values)


async def test_what_lies_in_the_cache_is_remembered_and_scored_alike() -> None:
    async with serving(ModelServer(plugin=True)) as server:
        prm = await open_prm(prm_at(server))
        one_by_one = [await prm.score(QUESTION, STEPS[:count], count - 1) for count in (1, 2, 3)]
        again = await prm.score(QUESTION, STEPS, 0)
        await prm.close()
    assert [value for scores in one_by_one for value in scores.values] == pytest.approx(await whole(QUESTION, STEPS))
    assert again.values == pytest.approx(await whole(QUESTION, STEPS))
    cached = [scores.cached_tokens or 0 for scores in (*one_by_one, again)]
    assert 0 < cached[1] < cached[2] <= cached[3] == again.input_tokens - 1


async def test_what_another_client_put_into_the_cache_is_read_anew() -> None:
    async with serving(ModelServer(plugin=True)) as server:
        for _ in range(2):
            prm = await open_prm(prm_at(server))
            assert (await prm.score(QUESTION, STEPS, 0)).values == pytest.approx(await whole(QUESTION, STEPS))
            await prm.close()
        assert "input" in server.bodies[-1]


async def test_a_prompt_whose_places_all_lie_in_the_cache_has_no_rows() -> None:
    async with serving(ModelServer(plugin=True)) as server:
        prm = await open_prm(prm_at(server))
        assert isinstance(prm, ServedPrm)
        prompt = PrmPrompt(ids=(5, 6, 7), places=(1,))
        assert len((await prm._read(prompt, QUESTION, use_cache=True)).logits) == 1
        read = await prm._read(prompt, QUESTION, use_cache=True)
        await prm.close()
    assert (scores_of(read.logits), read.cached) == ([], 2)


async def test_prompts_of_one_moment_go_in_one_request() -> None:
    async with serving(ModelServer(plugin=True)) as server:
        prm = await open_prm(prm_at(server))
        before = len(server.bodies)
        found = await asyncio.gather(*(prm.score(f"{QUESTION} {number}", STEPS, 0) for number in range(100)))
        await prm.close()
        sizes = [len(body["data"]["prompts"]) for body in server.bodies[before:]]
    assert sorted(sizes) == [36, 64]
    assert found[7].values == pytest.approx(await whole(f"{QUESTION} 7", STEPS))


async def test_a_refused_request_is_asked_again_whole_and_a_fault_that_passes_together() -> None:
    async with serving(ModelServer(plugin=True)) as server:
        prm = await open_prm(prm_at(server))
        server.faults = iter([answering(400, "no"), GARBAGE])
        refused = await prm.score(QUESTION, STEPS, 0)
        assert "input" in server.bodies[-1]
        assert refused.values == pytest.approx(await whole(QUESTION, STEPS))
        await prm.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda reply: {"data": reply["data"][:-1]}, r"answered \d of \d prompts"),
        (lambda reply: {"data": [one | {"rows": one["rows"][:-1]} for one in reply["data"]]}, r"rows for \d places"),
        (lambda reply: {"data": [one | {"cached": 9999} for one in reply["data"]]}, "9999 tokens being cached"),
        (lambda reply: {"data": [one | {"rows": [[1.0] * 3] * len(one["rows"])} for one in reply["data"]]}, "1 or 2"),
        (lambda reply: {"data": [one | {"rows": [[None]] * len(one["rows"])} for one in reply["data"]]}, "unusable"),
    ],
    ids=["a prompt short", "a row short", "too much cached", "three numbers", "null for NaN"],
)
async def test_a_plugin_that_answers_nonsense_is_told_and_not_gone_around(change: Any, told: str) -> None:
    async with serving(ModelServer(plugin=True)) as server:
        prm = await open_prm(prm_at(server))
        server.change = change
        with pytest.raises(BadReply, match=told):
            await prm.score(QUESTION, STEPS, 0)
        with pytest.raises(EngineUnavailable, match=told):
            await open_prm(prm_at(server))
        await prm.close()


def test_the_plugin_gives_the_numbers_behind_the_cache() -> None:
    pooling = StepPooling(None, None)
    asked = pooling.parse_data({"prompts": [{"ids": [5, 6, 7, 8], "places": [1, 3]}, {"ids": [5], "places": [0]}]})
    assert pooling.pre_process(asked, "request") == [{"prompt_token_ids": [5, 6, 7, 8]}, {"prompt_token_ids": [5]}]
    outputs = [
        SimpleNamespace(prompt_token_ids=ids, outputs=SimpleNamespace(data=torch.tensor(rows)))
        for ids, rows in (([5, 6, 7, 8], [[0.0, 1.0], [2.0, 3.0]]), ([5], [[4.0, 5.0]]))
    ]
    assert pooling.post_process(outputs, "request") == [
        {"cached": 2, "rows": [[2.0, 3.0]]},
        {"cached": 0, "rows": [[4.0, 5.0]]},
    ]


def test_vllm_finds_the_plugin_by_its_name() -> None:
    (found,) = entry_points(group="vllm.io_processor_plugins", name=PLUGIN)
    assert resolve_name(found.load()()) is StepPooling


@pytest.mark.parametrize(
    "data", [{}, {"prompts": []}, {"prompts": [{"ids": [], "places": []}]}, {"prompts": [{"ids": [1], "places": [1]}]}]
)
def test_the_plugin_refuses_what_it_cannot_read(data: Any) -> None:
    with pytest.raises(ValidationError):
        StepPooling(None, None).parse_data(data)
