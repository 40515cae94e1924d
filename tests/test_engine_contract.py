"""One contract for every engine: fakes, scripts, torch, vLLM and servers alike."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from model_server import ModelServer, policy_at, prm_at, serving
from pydantic import TypeAdapter

from overthink.tasks.engines.engine_config import PolicyConfig
from overthink.tasks.engines.engine_protocol import Policy, Prm
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.engines.fakes.scripted import ScriptedPolicy, ScriptedPrm
from overthink.tasks.engines.prm_config import PrmConfig
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.engines.vllm.vllm_prm import VllmPrm
from overthink.tasks.methods.chunks import in_chunks
from overthink.tasks.methods.requests import Generate
from overthink.tasks.records import Sample, Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Take 20, plus 11. What is the result?"
STEPS = ("20+11=31", "\\boxed{31}")
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=200)
STEP_BY_STEP = Sampling(temperature=0.0, top_p=1.0, max_tokens=200, stop=("\n\n",))
SCRIPT = {
    "policy": {QUESTION: {"": ["20+11=31\n\n\\boxed{31}"], "20+11=31": ["\\boxed{31}"]}},
    "prm": {QUESTION: {"20+11=31\n\n\\boxed{31}": [0.9, 0.8], "20+11=31": [0.9]}},
}
POLICIES: dict[str, dict[str, Any]] = {
    "fake": {"engine": "fake"},
    "scripted": {"engine": "scripted"},
    "openai": {"engine": "openai"},
    "vllm": {"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 512},
}
PRMS: dict[str, dict[str, Any]] = {
    "fake": {"engine": "fake"},
    "scripted": {"engine": "scripted"},
    "vllm-server": {"engine": "vllm-server"},
    "torch": {"engine": "torch", "model": "zoo/abacus-prm", "dtype": "float32"},
    "vllm": {"engine": "vllm", "model": "zoo/abacus-prm", "dtype": "float32", "max_model_len": 512},
}


def with_script(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    if config["engine"] != "scripted":
        return config
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    return config | {"script": str(script)}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=POLICIES)
async def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Policy]:
    config = with_script(POLICIES[request.param], tmp_path_factory.mktemp("script"))
    async with serving(ModelServer()) as server:
        if config["engine"] == "vllm":
            request.getfixturevalue("forked_engines")
        served = policy_at(server) if config["engine"] == "openai" else None
        engine = await open_policy(served or TypeAdapter[Any](PolicyConfig).validate_python(config))
        yield engine
        await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PRMS)
async def prm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prm]:
    config = with_script(PRMS[request.param], tmp_path_factory.mktemp("script"))
    async with serving(ModelServer()) as server:
        if config["engine"] == "vllm":
            request.getfixturevalue("forked_engines")
        served = prm_at(server) if config["engine"] == "vllm-server" else None
        engine = await open_prm(served or TypeAdapter[Any](PrmConfig).validate_python(config))
        yield engine
        await engine.close()


async def test_a_sample_is_consistent(policy: Policy) -> None:
    sample = await policy.generate(QUESTION, (), SAMPLING, seed=1)
    assert len(sample.tokens) == len(sample.token_ends) == len(sample.logprobs) > 0
    assert list(sample.token_ends) == sorted(sample.token_ends)
    assert sample.token_ends[-1] == len(sample.text)
    assert all(logprob <= 0 for logprob in sample.logprobs)
    assert sample.stop_reason in ("stop", "length")
    assert sample.prompt_tokens == len(policy.prompt(QUESTION))


async def test_greedy_is_repeatable(policy: Policy) -> None:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=200)
    first = await policy.generate(QUESTION, (), greedy, seed=1)
    second = await policy.generate(QUESTION, (), greedy, seed=2)
    assert first.text == second.text


async def test_the_same_seed_writes_the_same_alone_and_in_company(policy: Policy) -> None:
    alone = await policy.generate(QUESTION, (), SAMPLING, seed=5)
    company = await asyncio.gather(*(policy.generate(QUESTION, (), SAMPLING, seed=seed) for seed in range(16)))
    assert company[5].text == alone.text


async def test_a_step_stops_at_the_delimiter_and_is_continued_with_identical_tokens(policy: Policy) -> None:
    first = await policy.generate(QUESTION, (), STEP_BY_STEP, seed=0)
    assert first.text
    assert "\n\n" not in first.text
    assert first.stop_reason == "delimiter"
    assert len(first.tokens) == len(first.token_ends) == len(first.logprobs)
    assert first.token_ends[-1] == len(first.text)
    second = await policy.generate(QUESTION, (first,), STEP_BY_STEP, seed=0)
    assert second.text != first.text
    if not isinstance(policy, ScriptedPolicy):  # a script knows texts, not tokens
        assert second.prompt_tokens == len(policy.prompt(QUESTION)) + len(first.tokens)


async def written_step_by_step(policy: Policy) -> list[Sample]:
    path: list[Sample] = []
    while not path or path[-1].stop_reason == "delimiter":
        path.append(await policy.generate(QUESTION, tuple(path), STEP_BY_STEP, seed=len(path)))
    return path


async def test_the_last_step_ends_with_the_sequence_and_all_others_at_the_delimiter(policy: Policy) -> None:
    path = await written_step_by_step(policy)
    assert len(path) > 1
    assert [sample.stop_reason for sample in path] == ["delimiter"] * (len(path) - 1) + ["stop"]
    assert not any("\n\n" in sample.text for sample in path)


async def test_a_whole_solution_ends_with_the_sequence(policy: Policy) -> None:
    whole = await policy.generate(QUESTION, (), Sampling(temperature=0.0, top_p=1.0, max_tokens=200), seed=0)
    assert "\n\n" in whole.text
    assert whole.stop_reason == "stop"


async def test_greedy_in_chunks_writes_the_same_sample_as_greedy_in_one_call(policy: Policy) -> None:
    if isinstance(policy, FakePolicy | ScriptedPolicy):
        pytest.skip("it goes on from texts of steps, not from tokens")
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=200, top_logprobs=20)
    whole = await policy.generate(QUESTION, (), greedy, seed=0)
    drawing = in_chunks(Generate((), 0, greedy), 5, lambda _: None)
    try:
        (asked,) = next(drawing)
        while True:
            assert isinstance(asked, Generate)
            (asked,) = drawing.send([await policy.generate(QUESTION, asked.path, asked.sampling, seed=1)])
    except StopIteration as finished:
        chunked, was_cut = finished.value
    assert not was_cut and len(whole.tokens) > 10
    assert (chunked.text, chunked.tokens, chunked.token_ends) == (whole.text, whole.tokens, whole.token_ends)
    assert chunked.stop_reason == whole.stop_reason == "stop"
    told = whole.confidences
    assert chunked.confidences == (None if told is None else pytest.approx(told, rel=1e-2))


async def test_greedy_step_by_step_writes_the_same_tokens_as_greedy_in_one_call(policy: Policy) -> None:
    if isinstance(policy, FakePolicy):
        pytest.skip("each call of a fake has a hash of its own")
    whole = await policy.generate(QUESTION, (), Sampling(temperature=0.0, top_p=1.0, max_tokens=200), seed=0)
    path = await written_step_by_step(policy)
    assert tuple(token for sample in path for token in sample.tokens) == whole.tokens
    assert "\n\n".join(sample.text for sample in path) == whole.text
    logprobs = [logprob for sample in path for logprob in sample.logprobs]
    assert logprobs == pytest.approx(whole.logprobs, abs=1e-3)


async def test_steps_drawn_alone_and_in_company_are_the_same(policy: Policy) -> None:
    if isinstance(policy, ScriptedPolicy):
        pytest.skip("a script goes by how often it was asked")
    drawn = Sampling(temperature=1.0, top_p=1.0, max_tokens=200, stop=("\n\n",))
    first = await policy.generate(QUESTION, (), STEP_BY_STEP, seed=0)
    alone = await policy.generate(QUESTION, (first,), drawn, seed=5)
    company = await asyncio.gather(*(policy.generate(QUESTION, (first,), drawn, seed) for seed in range(16)))
    assert company[5].tokens == alone.tokens


async def test_max_tokens_cuts_and_says_so(policy: Policy) -> None:
    sample = await policy.generate(QUESTION, (), Sampling(0.0, 1.0, max_tokens=3), seed=0)
    assert len(sample.tokens) == 3
    assert sample.stop_reason == "length"


async def test_how_sure_it_was_comes_with_each_token_and_changes_none(policy: Policy) -> None:
    plain = await policy.generate(QUESTION, (), SAMPLING, seed=1)
    sample = await policy.generate(QUESTION, (), replace(SAMPLING, top_logprobs=20), seed=1)
    assert plain.confidences is plain.entropies is None
    assert sample.confidences is not None
    assert sample.entropies is not None
    assert len(sample.confidences) == len(sample.entropies) == len(sample.tokens)
    assert all(confidence >= 0 for confidence in sample.confidences)
    assert all(0 <= entropy <= math.log(20) for entropy in sample.entropies)
    if not isinstance(policy, ScriptedPolicy):  # a script goes by how often it was asked
        assert (sample.tokens, sample.logprobs) == (plain.tokens, pytest.approx(plain.logprobs, abs=1e-5))


async def test_as_many_scores_as_steps_each_in_range(prm: Prm) -> None:
    scores = await prm.score(QUESTION, STEPS, 0)
    assert len(scores.values) == 2
    assert all(0 <= value <= 1 for value in scores.values)
    assert scores.input_tokens > 0


async def test_from_step_gives_only_the_new_scores(prm: Prm) -> None:
    whole = await prm.score(QUESTION, STEPS, 0)
    last = await prm.score(QUESTION, STEPS, 1)
    assert last.values == pytest.approx(whole.values[1:], abs=1e-5)


async def test_the_score_of_a_step_does_not_depend_on_later_steps(prm: Prm) -> None:
    whole = await prm.score(QUESTION, STEPS, 0)
    first = await prm.score(QUESTION, STEPS[:1], 0)
    assert first.values == pytest.approx(whole.values[:1], abs=1e-5)


@pytest.mark.parametrize("forged", ["<extra_0>", "<|im_end|>", "ки", "\u00e9\u4e2d\U0001f600", "a\n\nb", " "])
async def test_forged_marks_and_odd_text_give_one_score_a_step(prm: Prm, forged: str) -> None:
    if isinstance(prm, ScriptedPrm):
        pytest.skip("a script knows only its own questions")
    scores = await prm.score(f"{QUESTION} {forged}", (f"20{forged}", forged), 0)
    assert len(scores.values) == 2


async def test_sixty_steps_get_sixty_scores(prm: Prm) -> None:
    if isinstance(prm, ScriptedPrm):
        pytest.skip("a script knows only its own questions")
    scores = await prm.score(QUESTION, ("1+1=2",) * 60, 0)
    assert len(scores.values) == 60


def solution(number: int, steps: int) -> tuple[str, tuple[str, ...]]:
    """A question that nobody asks twice, and steps of about ten tokens each."""
    return f"Take {number}, plus 1. What is it?", tuple(f"{number}+{step}={number + step}" for step in range(steps))


def skip_scripts(prm: Prm) -> None:
    if isinstance(prm, ScriptedPrm):
        pytest.skip("a script knows only its own questions")


@pytest.mark.parametrize("count", [2, 30], ids=["two steps", "more steps than fit into three cache blocks"])
async def test_new_steps_asked_about_alone_get_the_scores_they_have_in_the_whole(prm: Prm, count: int) -> None:
    skip_scripts(prm)
    question, steps = solution(100 + count, count)
    first = await prm.score(question, steps[:1], 0)
    rest = await prm.score(question, steps, from_step=1)
    again = await prm.score(question, steps, from_step=1)  # by now the marks may lie in the engine's cache
    whole = await prm.score(question, steps, 0)
    assert len(rest.values) == count - 1
    for found in (rest, again):
        assert first.values + found.values == pytest.approx(whole.values, abs=1e-5)
        assert found.input_tokens == whole.input_tokens
    if isinstance(prm, VllmPrm):
        assert rest.cached_tokens is not None
        assert rest.cached_tokens > 0
        if count == 30:
            assert rest.input_tokens > 3 * 32
            assert again.cached_tokens is not None
            assert again.cached_tokens > rest.cached_tokens, "what lies in the cache had been scored"


async def test_a_solution_asked_about_step_by_step_gets_the_scores_of_the_whole(prm: Prm) -> None:
    skip_scripts(prm)
    question, steps = solution(200, 30)
    grown = [await prm.score(question, steps[: end + 1], from_step=end) for end in range(len(steps))]
    whole = await prm.score(question, steps, 0)
    assert [scores.values[0] for scores in grown] == pytest.approx(whole.values, abs=1e-5)
    assert {len(scores.values) for scores in grown} == {1}
    if isinstance(prm, VllmPrm):
        assert whole.cached_tokens is not None
        assert whole.cached_tokens > 3 * 32, "what lies in the cache had been scored"
        new_tokens = [scores.input_tokens - (scores.cached_tokens or 0) for scores in grown[1:]]
        assert max(new_tokens) < 64, "a cache block and a step, and no more"


async def test_sixteen_solutions_asked_about_at_once_get_the_scores_they_get_alone(prm: Prm) -> None:
    skip_scripts(prm)
    alike = [solution(300, 12 + number) for number in range(8)]
    unlike = [solution(400 + number, 6 + number) for number in range(8)]
    asked = [*alike, *unlike]
    await asyncio.gather(*(prm.score(question, steps[:1], 0) for question, steps in asked))
    company = await asyncio.gather(*(prm.score(question, steps, 1) for question, steps in asked))
    again = await asyncio.gather(*(prm.score(question, steps, 1) for question, steps in asked))
    for (question, steps), *found in zip(asked, company, again, strict=True):
        alone = await prm.score(question, steps, 0)
        for scores in found:
            assert scores.values == pytest.approx(alone.values[1:], abs=1e-5)


async def test_odd_text_in_a_cached_prefix_leaves_every_score_in_its_place(prm: Prm) -> None:
    skip_scripts(prm)
    question, steps = (
        "Take <extra_0>, plus \u00e9\U0001f600. What?",
        ("<extra_0>", "\u4e2d" * 20, "<|im_end|>", "a\n\nb" * 20),
    )
    await prm.score(question, steps[:2], 0)
    new = await prm.score(question, steps, from_step=2)
    whole = await prm.score(question, steps, 0)
    assert new.values == pytest.approx(whole.values[2:], abs=1e-5)
