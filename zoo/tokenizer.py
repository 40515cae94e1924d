"""The tokenizer of the abacus models: byte-level BPE, small enough that a model of 1 M parameters affords its table.

Single digits stay single tokens (Qwen's pre-tokenizer splits them), and the words of chains and of the chat template
become one token each. Every byte is in the vocabulary, so any text survives a round trip.
"""

from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer

from overthink.tasks.datasets.chains import generate_chains

VOCABULARY_SIZE = 352
SYSTEM_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
STEP_MARK = "<extra_0>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_tokenizer() -> Qwen2Tokenizer:
    """Train the tokenizer on train chains and the template's words; deterministic."""
    chains = generate_chains("train", 2000, 1, 12, seed=0)
    return tokenizer_of(
        [f"system\n{SYSTEM_PROMPT}\nuser\n{chain.question}\nassistant\n{chain.solution}" for chain in chains]
    )


def tokenizer_of(corpus: list[str], size: int = VOCABULARY_SIZE) -> Qwen2Tokenizer:
    """Train a tokenizer of `size` tokens on a corpus; deterministic."""
    alphabet = sorted(ByteLevel.alphabet())
    empty = Qwen2Tokenizer(vocab={symbol: index for index, symbol in enumerate(alphabet)}, merges=[])
    tokenizer = empty.train_new_from_iterator(corpus, size, new_special_tokens=[*SPECIAL_TOKENS, STEP_MARK])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|endoftext|>"
    return tokenizer


def save_tokenizer(tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files into a model's folder."""
    tokenizer.save_pretrained(str(folder))
