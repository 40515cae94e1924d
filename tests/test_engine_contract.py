"""One contract for every engine: fakes, scripts, torch and vLLM alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import TypeAdapter

from tasks.engines.catalogue import open_policy, open_prm
from tasks.engines.config import PolicyConfig, PrmConfig
from tasks.engines.protocol import Policy, Prm
from tasks.records import Sample, Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Take 20, plus 11. What is the result?"
STEPS = ("20+11=31", "\\boxed{31}")
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=200)
SCRIPT = {
    "policy": {QUESTION: {"": ["20+11=31\n\n\\boxed{31}"], "20+11=31": ["\\boxed{31}"]}},
    "prm": {QUESTION: {"20+11=31\n\n\\boxed{31}": [0.9, 0.8], "20+11=31": [0.9]}},
}
POLICIES: dict[str, dict[str, Any]] = {
    "fake": {"engine": "fake"},
    "scripted": {"engine": "scripted"},
    "vllm": {"engine": "vllm", "model": "zoo/abacus-1m", "max_model_len": 512},
}
PRMS: dict[str, dict[str, Any]] = {
    "fake": {"engine": "fake"},
    "scripted": {"engine": "scripted"},
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
    engine = await open_policy(TypeAdapter[Any](PolicyConfig).validate_python(config))
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PRMS)
async def prm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prm]:
    config = with_script(PRMS[request.param], tmp_path_factory.mktemp("script"))
    engine = await open_prm(TypeAdapter[Any](PrmConfig).validate_python(config))
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
    step_by_step = Sampling(temperature=0.0, top_p=1.0, max_tokens=200, stop=("\n\n",))
    if type(policy).__name__ == "ScriptedPolicy":
        first = await policy.generate(QUESTION, (Sample("20+11=31", (1,), (8,), (-1.0,), "stop", 1),), step_by_step, 0)
        assert first.text == "\\boxed{31}"
        return
    first = await policy.generate(QUESTION, (), step_by_step, seed=0)
    assert "\n\n" not in first.text
    second = await policy.generate(QUESTION, (first,), step_by_step, seed=0)
    assert second.prompt_tokens == len(policy.prompt(QUESTION)) + len(first.tokens)


async def test_max_tokens_cuts_and_says_so(policy: Policy) -> None:
    if type(policy).__name__ == "ScriptedPolicy":
        pytest.skip("a script says what it says, whatever its length")
    sample = await policy.generate(QUESTION, (), Sampling(0.0, 1.0, max_tokens=3), seed=0)
    assert len(sample.tokens) == 3
    assert sample.stop_reason == "length"


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
    if type(prm).__name__ == "ScriptedPrm":
        pytest.skip("a script knows only its own questions")
    scores = await prm.score(f"{QUESTION} {forged}", (f"20{forged}", forged), 0)
    assert len(scores.values) == 2


async def test_sixty_steps_get_sixty_scores(prm: Prm) -> None:
    if type(prm).__name__ == "ScriptedPrm":
        pytest.skip("a script knows only its own questions")
    scores = await prm.score(QUESTION, ("1+1=2",) * 60, 0)
    assert len(scores.values) == 60
