"""Chats as token ids, as the template encodes them; texts from outside cannot forge the template's special tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overthink.tasks.domains.prompts import Message, folded
from overthink.tasks.engines.models import ModelFiles, require
from overthink.tasks.engines.templates import AS_IT_STANDS, PLACE, TemplateUse, between, pieces, render, shows
from overthink.tasks.errors import EngineUnavailable

FEW, MANY = 2, 64  # rounds of a chat: the encoding is tested on FEW; up to MANY are rendered at once
# Texts that begin and end in different ways: where one is encoded otherwise in its place, a template is encoded whole.
PROBES = (
    *("What is 1 + 1?", "Find $x$.", "Let f(x) = 2", "If it is {x}", "The", "How many", "A", "Évaluez x!", "中文。"),
    *("12", "$x$", "(a)", "[b]", r"\(x\)", "-1%", "It is so:\n\n\\boxed{1}"),
)


def load_tokenizer(model: ModelFiles, trust_remote_code: bool = False) -> Any:
    """The model's own tokenizer, with its chat template."""
    transformers = require("transformers", "pip install 'overthink[cpu]' or 'overthink[gpu]'")
    folder = str(model.tokenizer_folder)
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # damaged or missing files can raise any exception
        raise EngineUnavailable(
            f"{folder} holds no usable tokenizer ({type(error).__name__}: {' '.join(str(error).split())[:200]}): fetch "
            "its tokenizer files again"
        ) from error


def encode_text(tokenizer: Any, text: str, mark: str = "") -> list[int]:
    """Token ids of text from outside: `<|im_end|>` and the like are encoded as plain text, never as special tokens.

    So is `mark`, unless it is blank.
    """
    words = [word for word in unsplit_words(tokenizer, mark) if word in text]
    if not words:
        return _split(tokenizer, text)
    parts = re.split(f"({'|'.join(map(re.escape, words))})", text)
    return [
        token
        for number, part in enumerate(parts)
        for token in (spell_out(tokenizer, part) if number % 2 else _split(tokenizer, part))
    ]


def encode_further(tokenizer: Any, text: str) -> list[int]:
    """Token ids of text from outside that continues other text: without the blank that some tokenizers put in front."""
    if not puts_blank(tokenizer):
        return encode_text(tokenizer, text)
    before = _split(tokenizer, PLACE)
    whole = encode_text(tokenizer, PLACE + text)
    return whole[len(before) :] if whole[: len(before)] == before else encode_text(tokenizer, text)


def encode_given(tokenizer: Any, text: str) -> list[int]:
    """Token ids of trusted text behind other text: added tokens in it are these tokens; no blank is put in front."""
    before, whole = _whole(tokenizer, PLACE), _whole(tokenizer, PLACE + text)
    return whole[len(before) :] if whole[: len(before)] == before else _whole(tokenizer, text)


def _whole(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def puts_blank(tokenizer: Any) -> bool:
    """Whether a tokenizer, like SentencePiece, encodes text as if a blank were in front of it."""
    return str(tokenizer.convert_ids_to_tokens(_split(tokenizer, "A"))[0]).startswith(("▁", "Ġ"))


def spell_out(tokenizer: Any, word: str) -> list[int]:
    """Token ids of a word's characters, each encoded separately, so that they do not merge into one token."""
    return [token for character in word for token in _split(tokenizer, character)]


def _split(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


@lru_cache(maxsize=16)
def unsplit_words(tokenizer: Any, mark: str = "") -> tuple[str, ...]:
    """The added tokens, and the mark, that the tokenizer finds even in text whose special tokens it splits.

    Longest first. Blank ones are text, not marks: some vocabularies have runs of blanks as added tokens.
    """
    added = tokenizer.get_added_vocab()
    found = {word for word, token in added.items() if token in _split(tokenizer, word)}
    if _split(tokenizer, mark) == list(tokenizer.encode(mark, add_special_tokens=False)):
        found.add(mark)
    return tuple(sorted((word for word in found if word.strip()), key=lambda word: (-len(word), word)))


@dataclass(frozen=True)
class Frame:
    """What a template writes `around` texts: before, between and after them.

    `is_folded`: the template has no system role, so its message is in the user's turn. `is_whole`: separate encoding
    would give other tokens than the template's, so template and texts are encoded as one.
    """

    around: tuple[str, ...]
    is_folded: bool
    is_whole: bool

    @property
    def version(self) -> int:
        """The version of the prompts' tokens, for stages' keys: 1 for templates that were always encoded correctly."""
        return 2 if self.is_folded or self.is_whole else 1

    def encode(self, tokenizer: Any, texts: Sequence[str], mark: str = "") -> tuple[list[int], list[int]]:
        """Token ids of the chat, and for each text the index of its first token.

        Texts that contain added tokens or the mark are always encoded separately, with these as plain text.
        """
        if not self.is_whole or any(_holds_reserved(tokenizer, text, mark) for text in texts):
            return self._encode_apart(tokenizer, texts, mark)
        return self._encode_whole(tokenizer, texts)

    def _encode_apart(self, tokenizer: Any, texts: Sequence[str], mark: str) -> tuple[list[int], list[int]]:
        ids = list(tokenizer.encode(self.around[0], add_special_tokens=False))
        starts = []
        for text, after in zip(texts, self.around[1:], strict=True):
            starts.append(len(ids))
            ids += encode_text(tokenizer, text, mark)
            ids += tokenizer.encode(after, add_special_tokens=False)
        return ids, starts

    def _encode_whole(self, tokenizer: Any, texts: Sequence[str]) -> tuple[list[int], list[int]]:
        whole, begins = self.around[0], []
        for text, after in zip(texts, self.around[1:], strict=True):
            begins.append(len(whole))
            whole += text + after
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        ends = [end for _, end in encoded["offset_mapping"]]
        return encoded["input_ids"], [next(p for p, end in enumerate(ends) if end > begin) for begin in begins]


def _holds_reserved(tokenizer: Any, text: str, mark: str) -> bool:
    return any(word in text for word in (*tokenizer.get_added_vocab(), mark) if word.strip())


USER: Message = {"role": "user", "content": PLACE}
ASSISTANT: Message = {"role": "assistant", "content": PLACE}


@lru_cache(maxsize=16)
def frame_of(tokenizer: Any, system: str | None, shots: int = 0, use: TemplateUse = AS_IT_STANDS) -> Frame:
    """The frame of a user's message, behind a system message if any and examples, and of what opens the answer.

    Raises EngineUnavailable where the tokenizer has no template that writes such a chat.
    """
    turns = [*[USER, ASSISTANT] * shots, USER]
    before: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    texts = render(tokenizer, [[*before, *turns], turns], True, use.variables)
    is_folded = system is not None and not shows(texts[0], system)
    remedy = "put the examples of prompt.few_shot into prompt.user" if shots else "name another model"
    *around, opening = pieces(tokenizer, texts[1 if is_folded else 0], len(turns), remedy)
    if use.prefill:
        opening = _before_an_answer(tokenizer, turns if is_folded else [*before, *turns], opening, use) + use.prefill
    return Frame((*around, opening), is_folded, _is_whole(tokenizer, (*around, opening)))


def _before_an_answer(tokenizer: Any, chat: list[Message], opening: str, use: TemplateUse) -> str:
    """The opening of the assistant's turn, and the blanks that the template writes between it and an answer."""
    (text,) = render(tokenizer, [[*chat, ASSISTANT]], False, use.variables)
    before = between(text)[-2:-1]
    return before[0] if before and before[0].rstrip() == opening.rstrip() else opening


@lru_cache(maxsize=16)
def frames_of_rounds(tokenizer: Any, rounds: range) -> dict[int, Frame]:
    """The frames of chats with some numbers of rounds; a round is one turn of the user and one of the assistant.

    Whether they are encoded whole is tested on a few rounds, so that a longer chat begins with a shorter one's tokens.
    """
    texts = render(tokenizer, [[USER, ASSISTANT] * count for count in (FEW, *rounds)], opens=False)
    few, *all_around = [pieces(tokenizer, text, 2 * count) for text, count in zip(texts, (FEW, *rounds), strict=True)]
    is_whole = _is_whole(tokenizer, few)
    return {count: Frame(around, False, is_whole) for count, around in zip(rounds, all_around, strict=True)}


def _is_whole(tokenizer: Any, around: tuple[str, ...]) -> bool:
    apart = Frame(around, is_folded=False, is_whole=False)
    for probe in PROBES:
        ids, _ = apart.encode(tokenizer, [probe] * (len(around) - 1))
        if ids != list(tokenizer.encode(probe.join(around), add_special_tokens=False)):
            return True
    return False


def chat_frame(tokenizer: Any, chat: Sequence[Message], use: TemplateUse = AS_IT_STANDS) -> Frame:
    """The frame of a chat of the user's message, after a system message and examples, if there are any."""
    system = chat[0]["content"] if chat[0]["role"] == "system" else None
    return frame_of(tokenizer, system, (len(chat) - 1) // 2, use)


def encode_chat(tokenizer: Any, chat: Sequence[Message], mark: str = "", use: TemplateUse = AS_IT_STANDS) -> list[int]:
    """Token ids of a user's message, after a system message and examples if any, and of what opens the answer.

    The system message and the prefill are trusted; the turns can neither end themselves nor contain `mark`.
    """
    frame = chat_frame(tokenizer, chat, use)
    turns = folded(chat) if frame.is_folded else [message for message in chat if message["role"] != "system"]
    return frame.encode(tokenizer, [turn["content"].strip() for turn in turns], mark)[0]


def encode_turn(tokenizer: Any, text: str, use: TemplateUse) -> tuple[list[int], list[int]]:
    """Token ids of a further message of the user's behind an answer, and the index of its text's first token.

    The end of the answer is in front of it and the opening of the next one behind.
    """
    frame = frame_of(tokenizer, None, 1, use)
    before = _whole(tokenizer, PLACE)
    behind = Frame((PLACE + frame.around[-2], frame.around[-1]), frame.is_folded, frame.is_whole)
    ids, starts = behind.encode(tokenizer, [text.strip()])
    if ids[: len(before)] != before:
        return Frame(frame.around[-2:], frame.is_folded, frame.is_whole).encode(tokenizer, [text.strip()])
    return ids[len(before) :], [starts[0] - len(before)]


def encode_rounds(tokenizer: Any, texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """Token ids of a chat of user and assistant in turn; for each text the index of its first token."""
    rounds = len(texts) // 2
    together = range(1, MANY) if 0 < rounds < MANY else range(rounds, rounds + 1)
    return frames_of_rounds(tokenizer, together)[rounds].encode(tokenizer, [text.strip() for text in texts])


def version_of_rounds(tokenizer: Any) -> int:
    """The version of `encode_rounds`; see `Frame`."""
    return frames_of_rounds(tokenizer, range(1, MANY))[1].version
