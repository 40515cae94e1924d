"""Small tokenizers with the chat templates and the ways of encoding that the families of policies have."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from step_writers import LLAMA3, trained
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from overthink.tasks.engines.models import ModelFiles

CORPUS = ["What is the value of x? Find it. The answer is 12 + 30 = 42. [INST] [/INST] user assistant system"]
QWEN25 = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{%- endif %}"
    "{%- for message in messages %}{%- if message.role == 'user' or message.role == 'assistant' %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# Thought is left out of earlier answers, and the last answer has an empty block of it.
QWEN3 = (
    "{%- set asked = namespace(last=0) %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}{%- set asked.last = loop.index0 %}{%- endif %}"
    "{%- endfor %}{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and loop.index0 > asked.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message.content.split('</think>')[-1] if message.role == 'assistant' else message.content }}"
    "{{- '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
R1 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{% else %}{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
PHI4 = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '<|im_sep|>' + message.content + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for message in messages %}"
    + ALTERNATE
    + "{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
# The system message stands in the last turn of the user, and a blank before each answer.
MISTRAL_V3 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}{{ bos_token }}"
    "{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + (system if loop.index > messages | length - 2 else '') + message['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = '' %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% set content = system_message + message['content'] if loop.first else message['content'] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
PHI3 = (
    "{% for message in messages %}{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
DROPS_SYSTEM = (
    "{% for message in messages %}{% if message.role != 'system' %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DEEPSEEK = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "{{ 'User: ' + message.content + '\n\n' }}"
    "{% elif message.role == 'assistant' %}{{ 'Assistant: ' + message.content + eos_token }}"
    "{% else %}{{ message.content + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


@dataclass(frozen=True)
class ChatShape:
    """One family: how its tokenizer encodes (see `tokenizer_of`), its template, and its special tokens.

    `version` is what the version of its prompts should be.
    """

    encoding: str
    template: str | None
    special: tuple[str, ...]
    version: int
    name: str = "tiny"
    model_type: str = "llama"
    rstrip: bool = False

    def build(self, folder: Path) -> ModelFiles:
        """Write it, without weights."""
        place = folder / self.name
        backend = tokenizer_of(self.encoding, self.special, self.rstrip)
        names = dict(zip(("bos_token", "eos_token"), self.special, strict=False))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
        tokenizer.chat_template = self.template
        tokenizer.save_pretrained(str(place))
        config = {"model_type": self.model_type, "max_position_embeddings": 4096}
        (place / "config.json").write_text(json.dumps(config))
        return ModelFiles(place.name, place)


def tokenizer_of(encoding: str, special: Sequence[str], rstrip: bool) -> Tokenizer:
    """`bytes` is a byte-level BPE; the others are as SentencePiece has them, by where a blank is put before a text.

    `legacy` puts it before every piece between special tokens, `always` and `first` and `never` say it themselves.
    """
    if encoding == "bytes":
        return trained([*CORPUS, "User: Assistant:"], special)
    tokenizer = Tokenizer(sentencepiece_model(special))
    if encoding == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif encoding == "never":
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=encoding, split=False)
    strip = [] if encoding == "never" else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False, rstrip=rstrip) for word in special])
    return tokenizer


def sentencepiece_model(special: Sequence[str]) -> models.BPE:
    """A BPE over words that begin with `▁`, with a token for each byte that it has no piece for."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    words.train_from_iterator(CORPUS * 20, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    learned: Any = json.loads(words.to_str())["model"]
    pieces = ["<unk>", *special, *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    merges = [tuple(pair) for pair in learned["merges"]]
    return models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)


IM = ("<|endoftext|>", "<|im_end|>", "<|im_start|>")
S = ("<s>", "</s>")
GEMMA_SPECIAL = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
R1_SPECIAL = (
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<think>",
    "</think>",
)
LLAMA3_SPECIAL = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")
PHI3_SPECIAL = (*S, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_SHAPES = {
    "Qwen2.5": ChatShape("bytes", QWEN25, IM, 1, model_type="qwen2"),
    "Qwen3": ChatShape("bytes", QWEN3, (*IM, "<think>", "</think>"), 1, model_type="qwen3"),
    "Llama-3.1": ChatShape("bytes", LLAMA3, LLAMA3_SPECIAL, 1, name="Llama-3.1-tiny"),
    "R1-Distill": ChatShape("bytes", R1, R1_SPECIAL, 1, name="R1-Distill-tiny"),
    "Phi-4": ChatShape("bytes", PHI4, (*IM, "<|im_sep|>"), 1, model_type="phi3"),
    "DeepSeek": ChatShape("bytes", DEEPSEEK, S, 2),
    "Gemma": ChatShape("never", GEMMA, GEMMA_SPECIAL, 2, model_type="gemma"),
    "Mistral, legacy": ChatShape("legacy", MISTRAL, S, 2, model_type="mistral"),
    "Mistral, first": ChatShape("first", MISTRAL, S, 2, model_type="mistral"),
    "Mistral v3": ChatShape("first", MISTRAL_V3, S, 2, model_type="mistral"),
    "Llama-2, legacy": ChatShape("legacy", LLAMA2, S, 2),
    "Llama-2, always": ChatShape("always", LLAMA2, S, 2),
    "Phi-3, legacy": ChatShape("legacy", PHI3, PHI3_SPECIAL, 1, model_type="phi3", rstrip=True),
    "Phi-3, first": ChatShape("first", PHI3, PHI3_SPECIAL, 2, model_type="phi3", rstrip=True),
    "drops the system": ChatShape("bytes", DROPS_SYSTEM, IM, 2),
}
