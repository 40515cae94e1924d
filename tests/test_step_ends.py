"""Steps end at their delimiter, however it is spelled in tokens, and are told apart from other endings.

The real prompts and policy of the vLLM adapter stand before an engine that writes what a test says.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from step_writers import QUESTION, STEP, WITHOUT_BLANK_LINES, Writer, like_llama_2, like_qwen, prompts_of, tokens_of

from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.engines.vllm.vllm_policy import VllmPolicy
from overthink.tasks.errors import BadReply
from overthink.tasks.records import Sample, Sampling

pytestmark = pytest.mark.usefixtures("without_vllm")


def policy_that_writes(
    prompts: PolicyPrompts, tokens: list[int], limit: int | None = None
) -> tuple[VllmPolicy, Writer]:
    writer = Writer(prompts.tokenizer, lambda *_: tokens)
    return VllmPolicy(cast(Any, writer), prompts, limit), writer


@pytest.mark.parametrize(
    ("pieces", "text", "ends"),
    [
        (("The", " step", "\n\n"), "The step", (3, 8, 8)),
        (("The", " step", ".\n\n"), "The step.", (3, 8, 9)),
        (("\n\n",), "", (0,)),
    ],
)
async def test_the_token_that_completes_the_delimiter_is_kept_and_the_text_stops_before_it(
    pieces: tuple[str, ...], text: str, ends: tuple[int, ...], prompts: PolicyPrompts
) -> None:
    tokens = tokens_of(prompts, *pieces)
    policy, writer = policy_that_writes(prompts, [*tokens, *tokens])
    sample = await policy.generate(QUESTION, (), STEP, seed=7)
    assert (sample.text, list(sample.tokens), sample.token_ends) == (text, tokens, ends)
    assert sample.stop_reason == "delimiter"
    assert sample.logprobs == tuple(-float(number + 1) for number in range(len(tokens)))
    (asked,) = writer.asked
    assert asked.parameters.stop_token_ids == sorted(tokens_of(prompts, "\n\n", ".\n\n", ":\n\n"))
    assert (asked.parameters.stop, asked.parameters.detokenize) == ([], False)


async def test_a_delimiter_split_over_two_tokens_ends_the_step_and_the_rest_is_thrown_away(
    prompts: PolicyPrompts,
) -> None:
    kept = tokens_of(prompts, "The", " step", "\n", "\n")
    policy, writer = policy_that_writes(prompts, [*kept, *tokens_of(prompts, "The", "\n\n")])
    sample = await policy.generate(QUESTION, (), STEP, seed=7)
    assert len(writer.asked[0].tokens) == 6, "the engine itself did not stop there"
    assert (sample.text, list(sample.tokens), sample.token_ends) == ("The step", kept, (3, 8, 8, 8))
    assert (sample.stop_reason, len(sample.logprobs)) == ("delimiter", 4)


async def test_a_delimiter_just_before_the_limit_of_tokens_still_ends_the_step(qwen: PolicyPrompts) -> None:
    tokens = tokens_of(qwen, "The", "\n", "\n", "The")
    policy, _ = policy_that_writes(qwen, tokens)
    sample = await policy.generate(QUESTION, (), Sampling(0.8, 1.0, 4, ("\n\n",)), seed=7)
    assert (sample.text, sample.stop_reason, list(sample.tokens)) == ("The", "delimiter", tokens[:3])


async def test_an_end_of_sequence_and_the_limit_are_told_apart_from_the_delimiter(prompts: PolicyPrompts) -> None:
    tokens = [*tokens_of(prompts, "The", " step"), prompts.tokenizer.eos_token_id]
    policy, _ = policy_that_writes(prompts, tokens)
    ended = await policy.generate(QUESTION, (), STEP, seed=7)
    assert (ended.text, ended.stop_reason, ended.tokens) == ("The step", "stop", tuple(tokens))
    cut = await policy.generate(QUESTION, (), Sampling(0.8, 1.0, 2, ("\n\n",)), seed=7)
    assert (cut.text, cut.stop_reason) == ("The step", "length")


async def test_the_earliest_of_several_stop_strings_counts(qwen: PolicyPrompts) -> None:
    tokens = tokens_of(qwen, "The", "\n\n", " step")
    policy, _ = policy_that_writes(qwen, tokens)
    sample = await policy.generate(QUESTION, (), Sampling(0.8, 1.0, 64, (" step", "\n\n")), seed=7)
    assert (sample.text, list(sample.tokens)) == ("The", tokens[:2])


async def test_without_stop_strings_nothing_is_cut_or_read_along(qwen: PolicyPrompts) -> None:
    tokens = [*tokens_of(qwen, "The", "\n\n", " step"), qwen.tokenizer.eos_token_id]
    policy, writer = policy_that_writes(qwen, tokens)
    sample = await policy.generate(QUESTION, (), Sampling(0.8, 1.0, 64), seed=7)
    assert (sample.text, sample.stop_reason, len(sample.tokens)) == ("The\n\n step", "stop", 4)
    parameters = writer.asked[0].parameters
    assert (parameters.stop_token_ids, parameters.stop, parameters.detokenize) == ([], [], False)


async def test_a_vocabulary_without_a_delimiter_token_falls_back_to_stop_strings(tmp_path: Path) -> None:
    plain = prompts_of(like_qwen(tmp_path, WITHOUT_BLANK_LINES))
    kept = tokens_of(plain, "The", " step", "\n", "\n")
    policy, writer = policy_that_writes(plain, [*kept, *tokens_of(plain, "The")])
    sample = await policy.generate(QUESTION, (), STEP, seed=7)
    parameters = writer.asked[0].parameters
    assert (parameters.stop_token_ids, parameters.stop, parameters.detokenize) == ([], ["\n\n"], True)
    assert writer.asked[0].tokens == kept == list(sample.tokens), "the engine stopped by itself"
    assert (sample.text, sample.stop_reason, sample.token_ends) == ("The step", "delimiter", (3, 8, 8, 8))


async def test_a_step_of_a_sentencepiece_vocabulary_is_cut_at_its_delimiter(tmp_path: Path) -> None:
    old = prompts_of(like_llama_2(tmp_path))
    kept = old.tokenizer.encode("Hello world", add_special_tokens=False)
    kept += old.tokenizer.convert_tokens_to_ids(["<0x0A>", "<0x0A>"])
    policy, _ = policy_that_writes(old, kept)
    sample = await policy.generate(QUESTION, (), STEP, seed=7)
    assert (sample.text, sample.stop_reason, list(sample.tokens)) == ("Hello world", "delimiter", kept)
    assert sample.token_ends == (5, 11, 11, 11)


async def test_an_aborted_request_is_a_bad_reply(qwen: PolicyPrompts, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, writer = policy_that_writes(qwen, tokens_of(qwen, "The"))
    submit = writer.submit

    async def aborted(asked: Write) -> WrittenText:
        return replace(await submit(asked), finish_reason="abort")

    monkeypatch.setattr(writer, "submit", aborted)
    with pytest.raises(BadReply, match="ended a request with 'abort'"):
        await policy.generate(QUESTION, (), STEP, seed=7)


def step_of(tokens: list[int]) -> Sample:
    return Sample("x", tuple(tokens), (1,) * len(tokens), (-1.0,) * len(tokens), "delimiter", 5)


@pytest.mark.parametrize("beyond", [0, 1])
async def test_steps_that_fill_the_context_leave_an_empty_sample_cut_by_length(
    qwen: PolicyPrompts, beyond: int
) -> None:
    path = (step_of(tokens_of(qwen, "The", "\n\n")), step_of(tokens_of(qwen, " step", "\n\n")))
    length = len(qwen.prompt(QUESTION)) + 4
    policy, writer = policy_that_writes(qwen, tokens_of(qwen, "The"), limit=length - beyond)
    assert await policy.generate(QUESTION, path, STEP, seed=7) == Sample("", (), (), (), "length", length)
    assert writer.asked == [], "the engine was not asked"


async def test_steps_that_leave_room_for_one_token_are_gone_on_from(qwen: PolicyPrompts) -> None:
    path = (step_of(tokens_of(qwen, "The", "\n\n")),)
    policy, writer = policy_that_writes(qwen, tokens_of(qwen, "The"), limit=len(qwen.prompt(QUESTION)) + 3)
    assert (await policy.generate(QUESTION, path, STEP, seed=7)).text == "The"
    assert writer.asked[0].prompt == [*qwen.prompt(QUESTION), *path[0].tokens]
