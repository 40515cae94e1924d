"""Tokenizers as the model families have them, trained on a few lines, and an engine that writes what a test says."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from overthink.tasks.engines.engine_config import VllmPolicyConfig
from overthink.tasks.engines.models import ModelFiles
from overthink.tasks.engines.policy_prompts import PolicyPrompts
from overthink.tasks.engines.token_policy import WrittenText
from overthink.tasks.engines.vllm.messages import Write
from overthink.tasks.records import Sampling

QUESTION = "Take 12, plus 30. What is the result?"
STEP = Sampling(temperature=0.8, top_p=1.0, max_tokens=64, stop=("\n\n",))
MARK = "<extra_0>"

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


FAMILIES: dict[str, Callable[[Path], ModelFiles]] = {"Qwen": like_qwen, "Llama-3": like_llama}


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

    async def submit(self, asked: Write) -> WrittenText:
        await asyncio.sleep(0)
        prompt, parameters = asked.ids, asked.parameters()
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
        return asked.answer(SimpleNamespace(outputs=[completion], num_cached_tokens=0))

    def _is_stopped(self, tokens: list[int], parameters: Any) -> bool:
        if tokens[-1] in parameters.stop_token_ids:
            return True
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return parameters.detokenize and any(stop in text for stop in parameters.stop)

    async def close(self) -> None:
        pass
