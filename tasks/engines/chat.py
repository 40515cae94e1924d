"""Chats as token ids, with the user's text kept from forging template tokens."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tasks.engines.models import ModelFiles, require
from tasks.problems.prompts import Message

TEMPLATE_DATE = "26 Jul 2024"  # Llama's template would put today's date into the prompt, and so into every key
_PLACE = "\ue000"  # a private-use character that stands for the user's text while the template is rendered


def load_tokenizer(model: ModelFiles, trust_remote_code: bool = False) -> Any:
    """The model's own tokenizer, with its chat template."""
    transformers = require("transformers", "pip install 'overthink[cpu]' or 'overthink[gpu]'")
    return transformers.AutoTokenizer.from_pretrained(str(model.folder), trust_remote_code=trust_remote_code)


def encode_text(tokenizer: Any, text: str, mark: str = "") -> list[int]:
    """Token ids of text from outside: `<|im_end|>` and the like are spelled out, never taken as the template's own.

    So is `mark`, unless it is blank.
    """
    words = [word for word in unsplit_words(tokenizer, mark) if word in text]
    if not words:
        return _split(tokenizer, text)
    pieces = re.split(f"({'|'.join(map(re.escape, words))})", text)
    return [
        token
        for number, piece in enumerate(pieces)
        for token in (spell_out(tokenizer, piece) if number % 2 else _split(tokenizer, piece))
    ]


def spell_out(tokenizer: Any, word: str) -> list[int]:
    """Token ids of a word's characters, each encoded apart, so that they make no token together."""
    return [token for character in word for token in _split(tokenizer, character)]


def _split(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


@lru_cache(maxsize=16)
def unsplit_words(tokenizer: Any, mark: str = "") -> tuple[str, ...]:
    """The added tokens, and the mark, that the tokenizer finds even in text whose special tokens it splits.

    Longest first. Blank ones are no marks but text: some vocabularies have runs of blanks as added tokens.
    """
    added = tokenizer.get_added_vocab()
    found = {word for word, token in added.items() if token in _split(tokenizer, word)}
    if _split(tokenizer, mark) == list(tokenizer.encode(mark, add_special_tokens=False)):
        found.add(mark)
    return tuple(sorted((word for word in found if word.strip()), key=lambda word: (-len(word), word)))


def encode_chat(tokenizer: Any, chat: list[Message], mark: str = "") -> list[int]:
    """Token ids of a chat whose last message is the user's, up to and including the opening of the assistant's turn.

    Only the user's text is taken from outside; it is encoded apart, so it can neither end its turn nor hold `mark`.
    """
    *before, user = chat
    template = tokenizer.apply_chat_template(
        [*before, {"role": "user", "content": _PLACE}],
        tokenize=False,
        add_generation_prompt=True,
        date_string=TEMPLATE_DATE,
    )
    head, _, tail = template.partition(_PLACE)
    return [
        *tokenizer.encode(head, add_special_tokens=False),
        *encode_text(tokenizer, user["content"].strip(), mark),
        *tokenizer.encode(tail, add_special_tokens=False),
    ]


def encode_turns(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Token ids of a chat of (role, text) turns, in pieces: the template's, the first text, the template's, and so on.

    There is a piece of the template before, between and after the texts, which are encoded apart.
    """
    template = tokenizer.apply_chat_template(
        [{"role": role, "content": _PLACE} for role, _ in turns], tokenize=False, date_string=TEMPLATE_DATE
    )
    around = template.split(_PLACE)
    pieces = [list(tokenizer.encode(around[0], add_special_tokens=False))]
    for (_, text), after in zip(turns, around[1:], strict=True):
        pieces.append(encode_text(tokenizer, text.strip()))
        pieces.append(list(tokenizer.encode(after, add_special_tokens=False)))
    return pieces
