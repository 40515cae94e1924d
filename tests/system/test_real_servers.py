"""vLLM's own server on the CPU, policy and PRM: the run's own engines over again, and a crash in the middle."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_runs import rows

from benchmarks.vllm_server import VllmServer
from overthink.flows.evaluate import evaluate
from overthink.tasks.engines.engine_config import OpenAIPolicyConfig, ServedPrmConfig, VllmPolicyConfig, VllmPrmConfig
from overthink.tasks.engines.http import endpoints
from overthink.tasks.engines.http.openai_policy import CompletionsPolicy
from overthink.tasks.engines.registry import open_policy, open_prm
from overthink.tasks.errors import EngineDied
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Sample, Sampling
from overthink.tasks.stages.shards import ENGINE_TASK

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("prefect_server", "forked_engines")]

POLICY = VllmPolicyConfig(model="zoo/abacus-1m", dtype="float32", max_model_len=512)
PRM = VllmPrmConfig(model="zoo/abacus-prm", dtype="float32", max_model_len=512)
QUESTIONS = [f"Take {number}, plus 11, times 2. What is the result?" for number in range(20, 26)]
WHOLE = Sampling(temperature=0.0, top_p=1.0, max_tokens=200)
STEP = Sampling(temperature=0.0, top_p=1.0, max_tokens=200, stop=("\n\n",))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VllmServer, VllmServer]]:
    logs = tmp_path_factory.mktemp("servers")
    both = VllmServer(POLICY, logs / "policy.log"), VllmServer(PRM, logs / "prm.log")
    try:
        for server in both:
            server.start()
        for server in both:
            server.wait()
        yield both
    finally:
        for server in both:
            server.kill()


def served(servers: tuple[VllmServer, VllmServer], **settings: Any) -> tuple[OpenAIPolicyConfig, ServedPrmConfig]:
    policy, prm = servers
    return (
        OpenAIPolicyConfig(model="abacus-1m", tokenizer=POLICY.model, endpoints=(policy.url,), **settings),
        ServedPrmConfig(model="abacus-prm", tokenizer=PRM.model, endpoints=(prm.url,), **settings),
    )


def recipe(servers: tuple[VllmServer, VllmServer], **settings: Any) -> Recipe:
    policy, prm = served(servers, **settings)
    return Recipe.model_validate(
        {
            "name": "served",
            "problems": {"source": "chains", "count": 12, "longest": 4},
            "policy": policy.model_dump(mode="json"),
            "prm": prm.model_dump(mode="json"),
            "methods": [{"method": "best_of_n", "n": 8}, {"method": "beam_search", "n": 8, "step_tokens": 64}],
            "budgets": [1, 8],
            "sampling": {"temperature": 0.8, "max_tokens": 256},
        }
    )


async def step_by_step(policy: Any, question: str) -> list[Sample]:
    path: list[Sample] = []
    while not path or path[-1].stop_reason == "delimiter":
        path.append(await policy.generate(question, tuple(path), STEP, seed=0))
    return path


async def test_a_served_policy_writes_what_one_of_the_run_s_own_writes(servers: Any) -> None:
    over_http, here = await open_policy(served(servers)[0]), await open_policy(POLICY)
    for question in QUESTIONS:
        theirs, ours = [await policy.generate(question, (), WHOLE, seed=0) for policy in (over_http, here)]
        assert over_http.prompt(question) == here.prompt(question)
        assert (theirs.text, theirs.tokens, theirs.token_ends) == (ours.text, ours.tokens, ours.token_ends)
        assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
        assert (theirs.stop_reason, theirs.prompt_tokens) == (ours.stop_reason, ours.prompt_tokens)
        path = await step_by_step(over_http, question)
        assert tuple(token for sample in path for token in sample.tokens) == theirs.tokens
        assert path[-1].cached_tokens is not None
    for policy in (over_http, here):
        await policy.close()


async def test_a_server_draws_as_it_is_told_and_says_how_sure_it_was(servers: Any) -> None:
    """By our middleware, and without it by the completions endpoint."""
    over_http, here = await open_policy(served(servers)[0]), await open_policy(POLICY)
    penalized = replace(WHOLE, repetition_penalty=1.3, frequency_penalty=0.5, ends=("boxed",), top_logprobs=20)
    drawn = Sampling(1.0, 0.9, 200, top_k=5, min_p=0.05, repetition=(1, 8, 3), top_logprobs=20)
    for there in (True, False):
        over_http._steps.there = there
        for sampling in (penalized, drawn):
            for question in QUESTIONS[:3]:
                theirs, ours = [await policy.generate(question, (), sampling, seed=3) for policy in (over_http, here)]
                assert (theirs.text, theirs.tokens, theirs.stop_reason) == (ours.text, ours.tokens, ours.stop_reason)
                assert theirs.confidences == pytest.approx(ours.confidences, rel=1e-3)
                assert theirs.entropies == pytest.approx(ours.entropies, rel=1e-2, abs=1e-4)
    for policy in (over_http, here):
        await policy.close()


async def test_a_served_prm_gives_the_scores_of_one_of_the_run_s_own(servers: Any) -> None:
    over_http, here = await open_prm(served(servers)[1]), await open_prm(PRM)
    for question in QUESTIONS:
        for steps in [("20+11=31", "31*2=62", "\\boxed{62}"), ("<extra_0>", "20+11=32"), ("1+1=2",) * 30]:
            theirs, ours = [await prm.score(question, steps, 0) for prm in (over_http, here)]
            assert theirs.values == pytest.approx(ours.values, abs=1e-4)
            assert theirs.input_tokens == ours.input_tokens
    again = await over_http.score(QUESTIONS[0], ("1+1=2",) * 30, 29)
    assert over_http._steps.there
    assert (again.cached_tokens or 0) > 0, "the server reads its prefix cache"
    for prm in (over_http, here):
        await prm.close()


async def test_best_of_n_and_beam_search_over_servers_survive_the_death_of_one(
    servers: tuple[VllmServer, VllmServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "SHORTEST_WAIT", 0.1)
    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])
    answered, killed = 0, False
    write = CompletionsPolicy._write

    async def counted(self: Any, *arguments: Any) -> Any:
        nonlocal answered, killed
        if answered >= 200 and not killed:  # in the middle of the beam search
            killed = True
            servers[0].kill()
        written = await write(self, *arguments)
        answered += 1
        return written

    monkeypatch.setattr(CompletionsPolicy, "_write", counted)
    with pytest.raises(EngineDied, match="no endpoint of abacus-1m answers"):
        await evaluate(recipe(servers, patience_seconds=2), tmp_path)
    servers[0].start()
    await asyncio.to_thread(servers[0].wait)
    await evaluate(recipe(servers), tmp_path)
    (made,) = rows(tmp_path, "SELECT count(*) AS calls FROM calls WHERE kind = 'generate'")
    openings = 2
    assert answered == made["calls"] + openings, "no answered call was made again"
    accuracy = {
        (row["method_id"].split("-")[0], row["selector"], row["n"]): row["accuracy"]
        for row in rows(tmp_path, "SELECT * FROM summary")
    }
    assert accuracy["best_of_n", "prm_last_vote", 8] > 0.5
    assert accuracy["beam_search", "prm_last_max", 8] > 0.5
    assert rows(tmp_path, "SELECT * FROM scores WHERE score IS NULL OR score NOT BETWEEN 0 AND 1") == []
    assert rows(tmp_path, "SELECT * FROM calls WHERE input_tokens IS NULL OR cached_tokens IS NULL") == []
