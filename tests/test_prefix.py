"""Prompts go on from step to step with identical tokens, so that prefix caches serve them.

The real prompts, policy and PRM classes of the vLLM adapters stand before an engine that writes what a test says.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from step_writers import MARK, QUESTION, STEP, Writer, like_llama, prompts_of, tokens_of

from overthink.storage.journal import Journal
from overthink.tasks.domains.math.extraction import is_final
from overthink.tasks.domains.math.mathematics import LLAMA3_MATH
from overthink.tasks.domains.prompts import BOXED
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.prm.layouts import MarkedChat
from overthink.tasks.engines.vllm.messages import HeadRows, ReadPlaces
from overthink.tasks.engines.vllm.vllm_policy import VllmPolicy
from overthink.tasks.engines.vllm.vllm_prm import VllmPrm
from overthink.tasks.methods.beam_search import beam_search
from overthink.tasks.methods.growth import Growth
from overthink.tasks.methods.requests import Outcome
from overthink.tasks.records import Problem
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.shard_counts import ShardCounts

pytestmark = pytest.mark.usefixtures("without_vllm")
BLOCK = 32


@dataclass
class Reader:
    """Stands in for a pooling engine with a prefix cache: a row for each token that was not in it."""

    cached: set[tuple[int, ...]] = field(default_factory=set)
    asked: list[tuple[list[int], bool]] = field(default_factory=list)

    async def submit(self, asked: ReadPlaces) -> HeadRows:
        await asyncio.sleep(0)
        prompt = asked.ids
        self.asked.append((prompt, asked.use_cache))
        blocks = [tuple(prompt[:end]) for end in range(BLOCK, len(prompt), BLOCK)]
        known = max((len(block) for block in blocks if block in self.cached), default=0)
        begin = known if asked.use_cache else 0
        self.cached.update(blocks)
        scores = [self.probability(prompt, place) for place in range(begin, len(prompt))]
        data = torch.tensor([[1 - score, score] for score in scores]).log()
        return asked.answer(SimpleNamespace(outputs=SimpleNamespace(data=data)))

    @staticmethod
    def probability(prompt: list[int], place: int) -> float:
        """Depends on the tokens up to a place alone, as a causal model's does."""
        return hash(tuple(prompt[: place + 1])) % 997 / 997

    async def close(self) -> None:
        pass


def random_step(prompts: PolicyPrompts) -> Callable[[list[int], Any], list[int]]:
    """A step spelled out in letters, as its tokenizer would never do it, and an ending."""
    spelled, digits = tokens_of(prompts, *"step"), tokens_of(prompts, *"123")
    endings = [*tokens_of(prompts, "\n\n", ".\n\n") * 6, prompts.tokenizer.eos_token_id]

    def write(prompt: list[int], parameters: Any) -> list[int]:
        lots = Random(f"{prompt} {parameters.seed}")
        return [*spelled, *lots.choices(digits, k=lots.randrange(3, 9)), lots.choice(endings)]

    return write


async def searched(prompts: PolicyPrompts, folder: Path) -> tuple[Outcome, Writer, Reader]:
    """A beam search of 16 over 4, five rounds deep."""
    writer, reader = Writer(prompts.tokenizer, random_step(prompts)), Reader()
    policy = VllmPolicy(cast(Any, writer), prompts, 4096)
    prm = VllmPrm(cast(Any, reader), MarkedChat(prompts.tokenizer, MARK), None)
    recorder = Recorder(Journal(folder / "journal.sqlite"))
    driver = Driver(
        stage_key="search-1",
        seed=0,
        model="tiny",
        prm_id="judge",
        policy=policy,
        prm=prm,
        access=EngineAccess(recorder, Admission(policy=64, prm=64), ShardCounts()),
    )
    outcome = await driver.run(Problem("key", "0", QUESTION, "42"), beam_search(Growth(STEP, 5, is_final), 16, 4))
    await recorder.close()
    return outcome, writer, reader


async def test_every_prompt_goes_on_from_its_parents_prompt_and_the_tokens_sampled_there(
    prompts: PolicyPrompts, tmp_path: Path
) -> None:
    outcome, writer, _ = await searched(prompts, tmp_path)
    question = list(prompts.prompt(QUESTION))
    written = [asked.prompt + asked.tokens for asked in writer.asked]
    depths = {len(node.address) for node in outcome.nodes}
    assert depths == {1, 2, 3, 4, 5}
    goers_on = [asked.prompt for asked in writer.asked if asked.prompt != question]
    assert len(goers_on) == len(outcome.nodes) - 16
    assert all(prompt in written for prompt in goers_on)
    texts = map(prompts.tokenizer.decode, goers_on)
    retokenised = [prompts.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    unlike = [ours != theirs for ours, theirs in zip(goers_on, retokenised, strict=True)]
    assert all(unlike), "else this would not notice tokens that are made anew from text"


async def test_each_node_has_the_tokens_that_were_written_for_it(prompts: PolicyPrompts, tmp_path: Path) -> None:
    outcome, writer, _ = await searched(prompts, tmp_path)
    question = list(prompts.prompt(QUESTION))
    written = sorted(asked.prompt + asked.tokens for asked in writer.asked)
    paths = [[token for sample in node.path for token in sample.tokens] for node in outcome.nodes]
    assert sorted(question + path for path in paths) == written


async def test_in_a_search_the_prm_computes_little_more_than_the_new_step(
    prompts: PolicyPrompts, tmp_path: Path
) -> None:
    outcome, _, reader = await searched(prompts, tmp_path)
    layout = MarkedChat(prompts.tokenizer, MARK)
    scored = [node for node in outcome.nodes if node.score is not None]
    assert len(reader.asked) == len(scored), "nothing had to be asked twice"
    for node in scored:
        ids = list(layout.write(QUESTION, node.steps, 0)[0].ids)
        assert (ids, True) in reader.asked
        assert node.score == pytest.approx(Reader.probability(ids, len(ids) - 1)), "the last token is the step's mark"


def test_a_qwen_prompt_has_its_system_prompt_and_opens_the_assistants_turn(qwen: PolicyPrompts) -> None:
    assert qwen.tokenizer.decode(qwen.prompt(QUESTION)) == (
        f"<|im_start|>system\n{BOXED}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_llama_prompt_begins_once_and_has_a_date_that_does_not_move(tmp_path: Path) -> None:
    llama = prompts_of(like_llama(tmp_path))
    prompt = llama.prompt(QUESTION)
    assert llama.tokenizer.decode(prompt) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        f"Today Date: 26 Jul 2024\n\n{LLAMA3_MATH}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{QUESTION}"
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert prompt.count(llama.tokenizer.bos_token_id) == 1
    assert prompt.count(*llama.tokenizer.encode("<|start_header_id|>", add_special_tokens=False)) == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from([MARK, "<|im_end|>", "\n\n", " ", "The step"]))))
def test_the_prms_tokens_for_some_steps_begin_those_for_more_steps(prompts: PolicyPrompts, steps: list[str]) -> None:
    layout = MarkedChat(prompts.tokenizer, MARK)
    whole = layout.write(QUESTION, tuple(steps), 0)[0].ids
    for count in range(len(steps)):
        fewer = layout.write(QUESTION, tuple(steps[:count]), 0)[0].ids
        assert whole[: len(fewer)] == fewer
        assert fewer.count(layout.mark) == count


def prm_over(reader: Reader, prompts: PolicyPrompts) -> VllmPrm:
    return VllmPrm(cast(Any, reader), MarkedChat(prompts.tokenizer, MARK), None)


LONG = tuple(f"The step is {number}, and then take {number + 1}." for number in range(12))


async def test_a_solution_asked_about_again_takes_from_memory_what_lies_in_the_cache(prompts: PolicyPrompts) -> None:
    reader = Reader()
    prm = prm_over(reader, prompts)
    first, again = await prm.score(QUESTION, LONG, 0), await prm.score(QUESTION, LONG, 0)
    assert [use_cache for _, use_cache in reader.asked] == [True, True]
    assert first.values == again.values
    assert (len(first.values), first.cached_tokens) == (len(LONG), 0)
    assert again.cached_tokens is not None
    assert again.cached_tokens >= 3 * BLOCK


async def test_solutions_that_begin_alike_share_what_they_have_in_common(prompts: PolicyPrompts) -> None:
    reader = Reader()
    prm = prm_over(reader, prompts)
    other = (*LONG[:8], "But now the step is another.", *LONG[9:])
    await prm.score(QUESTION, LONG, 0)
    shared = await prm.score(QUESTION, other, 0)
    assert shared.cached_tokens is not None
    assert shared.cached_tokens >= 2 * BLOCK
    assert shared.values == (await prm_over(Reader(), prompts).score(QUESTION, other, 0)).values


async def test_a_new_step_reads_the_cache_and_gets_the_number_it_has_in_the_whole(prompts: PolicyPrompts) -> None:
    reader = Reader()
    prm = prm_over(reader, prompts)
    whole = (await prm.score(QUESTION, LONG, 0)).values
    reader.cached.clear()
    await prm.score(QUESTION, LONG[:6], 0)
    scores = await prm.score(QUESTION, LONG, 6)
    assert scores.values == whole[6:]
    assert scores.cached_tokens is not None
    assert scores.cached_tokens >= 3 * BLOCK
    assert scores.input_tokens == len(reader.asked[-1][0])
    assert len(reader.asked) == 3


async def test_a_mark_that_lies_in_the_cache_and_is_forgotten_is_asked_for_again(prompts: PolicyPrompts) -> None:
    reader = Reader()
    whole = (await prm_over(reader, prompts).score(QUESTION, LONG, 0)).values
    scores = await prm_over(reader, prompts).score(QUESTION, LONG, 1)
    assert [use_cache for _, use_cache in reader.asked] == [True, True, False]
    assert (scores.values, scores.cached_tokens) == (whole[1:], 0)
