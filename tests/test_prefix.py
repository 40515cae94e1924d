"""Prompts go on from step to step with identical tokens, so that prefix caches serve them; and steps end where they do.

The real prompts, policy and PRM classes of the vLLM adapters stand before an engine that writes what a test says.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from storage.journal import Journal
from tasks.drive import Driver
from tasks.engines import vllm_policy, vllm_prm
from tasks.engines.config import VllmPolicyConfig
from tasks.engines.models import ModelFiles
from tasks.engines.prm_prompts import MarkedChat
from tasks.engines.vllm_policy import PolicyPrompts, VllmPolicy
from tasks.engines.vllm_prm import VllmPrm
from tasks.errors import BadReply
from tasks.methods.beam_search import beam_search
from tasks.methods.candidates import Growth
from tasks.methods.protocol import Outcome
from tasks.problems.prompts import BOXED, LLAMA3_MATH
from tasks.recorder import Recorder
from tasks.records import Problem, Sample, Sampling

QUESTION = "Take 12, plus 30. What is the result?"
STEP = Sampling(temperature=0.8, top_p=1.0, max_tokens=64, stop=("\n\n",))
MARK = "<extra_0>"
BLOCK = 32

# Both families keep the newlines behind punctuation in one piece, so there are tokens such as ".\n\n".
SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = ["First add the numbers.\n\nThen take the step.\n\n12 + 30 = 42\n\nThe step is done:\n\n"]
WITHOUT_BLANK_LINES = ["First add the numbers.\nThen take the step.\n12 + 30 = 42\nThe step is done:\n"]

CHATML = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA3 = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{%- if messages[0].role == 'system' %}{%- set system_message = messages[0].content | trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: ' }}"
    "{{- date_string + '\n\n' + system_message + '<|eot_id|>' }}"
    "{%- for message in messages %}{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}"
    "{{- message.content | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)


def trained(corpus: Sequence[str], special: Sequence[str]) -> Tokenizer:
    """A small byte-level BPE as Qwen2 and Llama 3 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=[*special, MARK], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*corpus] * 20, trainer)
    return tokenizer


def like_qwen(folder: Path, corpus: Sequence[str] = tuple(CORPUS)) -> ModelFiles:
    tokenizer = trained(corpus, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return saved(folder / "Qwen2.5-tiny", tokenizer, "qwen2", CHATML, eos_token="<|im_end|>")


def like_llama(folder: Path) -> ModelFiles:
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer = trained(CORPUS, special)
    tokens = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    return saved(folder / "Llama-3.2-tiny", tokenizer, "llama", LLAMA3, **tokens)


def like_llama_2(folder: Path) -> ModelFiles:
    """As SentencePiece does it: a token may begin with a blank, which is dropped at the beginning of a text."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁Heloworld"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    merges = []
    for word in ("▁Hello", "▁world"):
        for end in range(1, len(word)):
            merges.append((word[:end], word[end]))
            vocabulary.setdefault(word[: end + 1], len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return saved(folder / "old-tiny", tokenizer, "llama", CHATML, bos_token="<s>", eos_token="</s>")


def saved(folder: Path, tokenizer: Tokenizer, model_type: str, template: str, **tokens: str) -> ModelFiles:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    wrapped.chat_template = template
    wrapped.save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return ModelFiles(folder.name, folder)


@pytest.fixture(scope="module", params=[like_qwen, like_llama], ids=["Qwen", "Llama-3"])
def prompts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PolicyPrompts:
    return prompts_of(request.param(tmp_path_factory.mktemp("model")))


@pytest.fixture
def qwen(tmp_path: Path) -> PolicyPrompts:
    return prompts_of(like_qwen(tmp_path))


def prompts_of(model: ModelFiles) -> PolicyPrompts:
    return PolicyPrompts(VllmPolicyConfig(model=str(model.folder)), model)


def tokens_of(prompts: PolicyPrompts, *pieces: str) -> list[int]:
    """The ids of tokens by their text."""
    table = {prompts.tokenizer.decode([token]): token for token in range(len(prompts.tokenizer))}
    return [table[piece] for piece in pieces]


@dataclass(frozen=True)
class Asked:
    """One request, and what was written for it."""

    prompt: list[int]
    parameters: Any
    tokens: list[int]


@dataclass
class Writer:
    """Stands in for the copies of a vLLM engine: writes what `write` says, and stops where it is told to."""

    tokenizer: Any
    write: Callable[[list[int], Any], list[int]]
    asked: list[Asked] = field(default_factory=list)

    async def submit(self, prompt: list[int], parameters: Any) -> Any:
        await asyncio.sleep(0)
        tokens: list[int] = []
        reason = "length"
        for token in self.write(prompt, parameters)[: parameters.max_tokens]:
            tokens.append(token)
            if token == self.tokenizer.eos_token_id or self._is_stopped(tokens, parameters):
                reason = "stop"
                break
        self.asked.append(Asked(prompt, parameters, tokens))
        completion = SimpleNamespace(
            token_ids=tokens,
            finish_reason=reason,
            logprobs=SimpleNamespace(logprobs=[-float(number + 1) for number in range(len(tokens))]),
        )
        return SimpleNamespace(outputs=[completion], prompt_token_ids=prompt, num_cached_tokens=0)

    def _is_stopped(self, tokens: list[int], parameters: Any) -> bool:
        if tokens[-1] in parameters.stop_token_ids:
            return True
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return parameters.detokenize and any(stop in text for stop in parameters.stop)

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters are plain namespaces here, so that vLLM itself need not be imported."""
    stand_in = SimpleNamespace(
        SamplingParams=SimpleNamespace,
        PoolingParams=SimpleNamespace,
        RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"),
    )
    monkeypatch.setattr(vllm_policy, "require", lambda *_: stand_in)
    monkeypatch.setattr(vllm_prm, "require", lambda *_: stand_in)


def policy_that_writes(
    prompts: PolicyPrompts, tokens: list[int], limit: int | None = None
) -> tuple[VllmPolicy, Writer]:
    writer = Writer(prompts.tokenizer, lambda *_: tokens)
    return VllmPolicy(cast(Any, writer), prompts, limit), writer


@dataclass
class Reader:
    """Stands in for a pooling engine with a prefix cache: a row for each token that was not in it."""

    cached: set[tuple[int, ...]] = field(default_factory=set)
    asked: list[tuple[list[int], bool]] = field(default_factory=list)

    async def submit(self, prompt: list[int], parameters: Any) -> Any:
        await asyncio.sleep(0)
        self.asked.append((prompt, not parameters.skip_reading_prefix_cache))
        blocks = [tuple(prompt[:end]) for end in range(BLOCK, len(prompt), BLOCK)]
        known = max((len(block) for block in blocks if block in self.cached), default=0)
        begin = 0 if parameters.skip_reading_prefix_cache else known
        self.cached.update(blocks)
        scores = [self.probability(prompt, place) for place in range(begin, len(prompt))]
        return SimpleNamespace(
            outputs=SimpleNamespace(data=torch.tensor([[1 - score, score] for score in scores]).log())
        )

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
    prm = VllmPrm(cast(Any, reader), MarkedChat(prompts.tokenizer, MARK))
    recorder = Recorder(Journal(folder / "journal.sqlite"))
    driver = Driver(
        stage_key="search-1",
        seed=0,
        model="tiny",
        prm_id="judge",
        policy=policy,
        prm=prm,
        recorder=recorder,
        in_flight=asyncio.Semaphore(64),
        on_call=lambda _: None,
    )
    outcome = await driver.run(Problem("key", "0", QUESTION, "42"), beam_search(Growth(STEP, 5), 16, 4))
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


# Where a step ends.


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

    async def aborted(prompt: list[int], parameters: Any) -> Any:
        output = await submit(prompt, parameters)
        output.outputs[0].finish_reason = "abort"
        return output

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


# What the PRM reads from its cache.


def prm_over(reader: Reader, prompts: PolicyPrompts) -> VllmPrm:
    return VllmPrm(cast(Any, reader), MarkedChat(prompts.tokenizer, MARK))


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
