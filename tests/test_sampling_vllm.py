"""The settings of drawing tokens in real vLLM, on a model that greedily goes round in a loop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from math import exp
from pathlib import Path

import pytest
import pytest_asyncio
from safetensors.torch import save_file
from tiny_models import build_prm, tensors

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.engine_protocol import Policy
from overthink.tasks.engines.registry import open_policy
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.records import Sampling

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
QUESTION = "What is 12 + 30?"
GREEDY = Sampling(0.0, 1.0, 200)
LOOP = (1, 64, 3)


def forgetful(folder: Path) -> Path:
    """The model without attention: a token depends on the one before alone, so that the greedy ones soon come again."""
    weights = {name: 0 * one if "o_proj" in name else one for name, one in tensors(folder).items()}
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policy(tmp_path_factory: pytest.TempPathFactory, forked_engines: None) -> AsyncIterator[Policy]:
    model = forgetful(build_prm("verifier", tmp_path_factory.mktemp("policy") / "random"))
    engine = await open_policy(VllmPolicyConfig(model=str(model), dtype="float32", max_model_len=512))
    yield engine
    await engine.close()


def rounds_at_end(tokens: tuple[int, ...], least: int, most: int, count: int) -> bool:
    return any(tokens[-size * count :] == tokens[-size:] * count for size in range(least, most + 1))


async def test_a_loop_ends_the_solution_and_the_sample_says_so(policy: Policy) -> None:
    endless = await policy.generate(QUESTION, (), GREEDY, seed=0)
    assert endless.stop_reason == "length"
    looped = await policy.generate(QUESTION, (), replace(GREEDY, repetition=LOOP), seed=0)
    assert looped.stop_reason == "repetition"
    assert looped.tokens == endless.tokens[: len(looped.tokens)]
    assert rounds_at_end(looped.tokens, *LOOP)
    assert not rounds_at_end(looped.tokens[:-1], *LOOP)


async def test_penalties_lead_out_of_a_loop(policy: Policy) -> None:
    plain = await policy.generate(QUESTION, (), GREEDY, seed=0)
    for penalty in ({"repetition_penalty": 1.5}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        varied = await policy.generate(QUESTION, (), replace(GREEDY, **penalty), seed=0)  # type: ignore[arg-type]
        assert len(set(varied.tokens)) > len(set(plain.tokens))


async def test_a_choice_of_one_token_is_greedy(policy: Policy) -> None:
    greedy = await policy.generate(QUESTION, (), GREEDY, seed=0)
    for narrow in ({"top_k": 1}, {"min_p": 1.0}):
        drawn = await policy.generate(QUESTION, (), Sampling(1.0, 1.0, 200, **narrow), seed=7)  # type: ignore[arg-type]
        assert drawn.tokens == greedy.tokens


async def test_an_end_across_tokens_ends_the_solution_before_it(policy: Policy) -> None:
    whole = await policy.generate(QUESTION, (), GREEDY, seed=0)
    begin = whole.token_ends[4]
    end = whole.text[begin - 1 : begin + 3]
    ended = await policy.generate(QUESTION, (), replace(GREEDY, ends=(end,)), seed=0)
    assert (ended.text, ended.stop_reason) == (whole.text[: whole.text.index(end)], "stop")
    assert len(ended.tokens) < len(whole.tokens)


async def test_draws_depend_on_the_seed_alone_and_not_on_what_else_is_drawn(policy: Policy) -> None:
    warm = Sampling(1.0, 1.0, 40)
    alone = await policy.generate(QUESTION, (), warm, seed=3)
    beside = await asyncio.gather(
        *(policy.generate(f"{QUESTION} {seed}"[: 16 * (seed != 3) or None], (), warm, seed) for seed in range(60))
    )
    assert (beside[3].tokens, beside[3].logprobs) == (alone.tokens, pytest.approx(alone.logprobs, abs=1e-4))
    assert len({sample.tokens for sample in beside}) > 50


async def test_draws_follow_the_distribution_and_their_log_probabilities_are_the_models(policy: Policy) -> None:
    one = Sampling(1.0, 1.0, 1, top_logprobs=20)
    drawn = await asyncio.gather(*(policy.generate(QUESTION, (), one, seed) for seed in range(3000)))
    logprobs = {sample.tokens: sample.logprobs[0] for sample in drawn if sample.tokens}
    counts = Counter(sample.tokens for sample in drawn)
    for tokens, logprob in logprobs.items():
        share = exp(logprob)
        if share > 0.02:
            assert abs(counts[tokens] / 3000 - share) < 5 * (share * (1 - share) / 3000) ** 0.5
    confidences = {sample.confidences for sample in drawn if sample.tokens}
    assert len(confidences) == 1, "the same distribution at the same place"


async def test_requests_without_a_seed_are_drawn_apart(policy: Policy) -> None:
    asked = Write(list(policy.prompt(QUESTION)), Sampling(1.0, 1.0, 40), [], seed=None)
    written = await asyncio.gather(*(policy._copies.submit(asked) for _ in range(20)))  # type: ignore[attr-defined]
    assert len({tuple(one.tokens) for one in written}) > 15
