"""How PRMs read a question and its steps: one class per layout, each with the places of its scores.

A layout builds its prompts piece by piece, so it knows the place of every step: it never searches for places, and
text that looks like a mark is not mistaken for one. Where a layout `grows`, the tokens of a prefix of steps are
a prefix of the tokens of all steps, so that the engine's cache serves the longer prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

from overthink.tasks.domains.prompts import BOXED, Message, chat
from overthink.tasks.engines.chat import (
    chat_frame,
    encode_chat,
    encode_rounds,
    encode_text,
    spell_out,
    unsplit_words,
    version_of_rounds,
)
from overthink.tasks.errors import BadReply, EngineUnavailable, PromptTooLong

REMEMBERED = 65_536  # encoded texts kept; a search asks about the same steps again and again
VERDICT = """Here is a problem and the beginning of a solution.

Problem:
{question}

Solution so far:
{steps}

Is the last step of this solution correct? Answer with one word, Yes or No."""


Pieces = tuple[list[int], list[int], list[int]]  # tokens of a step, of its mark, and of what follows the mark


@dataclass(frozen=True)
class PrmPrompt:
    """Token ids, and the index among them where each step asked about is judged, in the order of the steps."""

    ids: tuple[int, ...]
    places: tuple[int, ...]


def check_fit(prompts: Sequence[PrmPrompt], question: str, limit: int | None) -> None:
    """Raise PromptTooLong, naming question and limit, where a prompt has more than `limit` tokens."""
    longest = max(len(prompt.ids) for prompt in prompts)
    if limit is not None and longest > limit:
        raise PromptTooLong(f"the PRM's prompt for {question[:80]!r} has {longest} tokens; its limit is {limit}")


class Layout(Protocol):
    """Writes the prompts of one PRM family with one tokenizer; `grows` is explained above, `version` at `Frame`."""

    grows: bool
    version: int

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """Prompts that together hold one place for each of `steps[from_step:]`, in order.

        Raises BadReply where the tokenizer merges a step with what follows it.
        """
        ...


class MarkedChat:
    """A chat with the steps in the assistant's turn, each followed by a special token and judged there."""

    grows = True

    def __init__(self, tokenizer: Any, mark: str) -> None:
        self.mark = single_token(tokenizer, mark)
        self.version = chat_frame(tokenizer, chat("", BOXED)).version
        self._question = lru_cache(REMEMBERED)(lambda text: encode_chat(tokenizer, chat(text, BOXED), mark))
        self.step = lru_cache(REMEMBERED)(partial(encode_text, tokenizer, mark=mark))

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        pieces: list[Pieces] = [(self.step(step), [self.mark], []) for step in steps]
        return [_joined(self._question(question), pieces, from_step)]


class MarkedText:
    """One running text in which a word follows each step, which is judged there.

    The whole text is encoded at once, as such models were trained; the marks are found by their characters.
    """

    grows = True
    version = 1

    def __init__(self, tokenizer: Any, mark: str, after_mark: str) -> None:
        self._tokenizer = tokenizer
        self._mark = mark
        self._after_mark = after_mark

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        text, ends = f"{question} ", []
        for step in steps:
            text += step + self._mark
            ends.append(len(text))
            text += self._after_mark
        encoded = self._tokenizer(text, return_offsets_mapping=True, split_special_tokens=True)
        places = {end: place for place, (begin, end) in enumerate(encoded["offset_mapping"]) if begin < end}
        if not places.keys() >= set(ends):
            raise BadReply(
                f"the PRM's tokenizer runs a step of {question[:80]!r} into the mark {self._mark!r} after it"
            )
        own = [places[end] for end in ends]
        ids, own = self._without_forged(text, encoded["input_ids"], encoded["offset_mapping"], own)
        return [PrmPrompt(tuple(ids), tuple(own[from_step:]))]

    def _without_forged(
        self, text: str, ids: list[int], spans: list[tuple[int, int]], places: list[int]
    ) -> tuple[list[int], list[int]]:
        """The tokens, with marks and added tokens that the text itself holds spelled out, and the places among them."""
        word, own = self._mark.strip(), set(places)
        added = {self._tokenizer.convert_tokens_to_ids(name) for name in unsplit_words(self._tokenizer) if name in text}
        if not places or (text.count(word) == len(places) and not added):
            return ids, places
        first = next(place for place, (_, end) in enumerate(spans) if end > spans[places[0]][1] - len(word))
        mark = ids[first : places[0] + 1]
        kept: list[int] = []
        moved: list[int] = []
        for place, token in enumerate(ids):
            begin = place + 1 - len(mark)
            kept.append(token)
            if place in own:
                moved.append(len(kept) - 1)
            elif token in added:
                kept[-1:] = spell_out(self._tokenizer, text[slice(*spans[place])])
            elif begin >= 0 and ids[begin : place + 1] == mark:
                kept[-len(mark) :] = spell_out(self._tokenizer, text[spans[begin][0] : spans[place][1]])
        return kept, moved


class MarkedLines:
    """The bare question, then each step followed by a mark and judged at the mark's last token."""

    grows = True
    version = 1

    def __init__(
        self,
        tokenizer: Any,
        *,
        after_question: str,
        mark: str,
        before_mark: str = "",
        after_mark: str = "",
        one_line: bool = False,
    ) -> None:
        begin = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
        encode = partial(encode_text, tokenizer, mark=mark)
        self._mark = list(tokenizer.encode(mark, add_special_tokens=False))
        self._after = list(tokenizer.encode(after_mark, add_special_tokens=False))
        self._question = lru_cache(REMEMBERED)(lambda text: begin + encode(text + after_question))
        self._step = lru_cache(REMEMBERED)(
            lambda text: encode((text.replace("\n", " ") if one_line else text) + before_mark)
        )

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        pieces = [(self._step(step), self._mark, self._after) for step in steps]
        return [_joined(self._question(question), pieces, from_step)]


class Turns:
    """A chat in which each user turn is one step, the first after the question, and the assistant answers a verdict.

    A step is judged at the token before the verdict, which the model would have to predict there.
    """

    grows = True

    def __init__(self, tokenizer: Any, verdict: str) -> None:
        self._tokenizer = tokenizer
        self._verdict = verdict
        self.version = version_of_rounds(tokenizer)

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        said = [f"{question} {steps[0]}", *steps[1:]] if steps else []
        ids, starts = encode_rounds(self._tokenizer, [text for step in said for text in (step, self._verdict)])
        places = [start - 1 for start in starts[1::2]]
        return [PrmPrompt(tuple(ids), tuple(places[from_step:]))]


class Asked:
    """Any instruct model, asked about each step in a separate chat; judged at the first token of its answer."""

    grows = False

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.version = chat_frame(tokenizer, self._asking("", ())).version

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        return [self._prompt(question, steps[:count]) for count in range(from_step + 1, len(steps) + 1)]

    def _prompt(self, question: str, steps: Sequence[str]) -> PrmPrompt:
        ids = encode_chat(self._tokenizer, self._asking(question, steps))
        return PrmPrompt(tuple(ids), (len(ids) - 1,))

    @staticmethod
    def _asking(question: str, steps: Sequence[str]) -> list[Message]:
        return [{"role": "user", "content": VERDICT.format(question=question, steps="\n\n".join(steps))}]


class AnsweredLayout:
    """A chat with the answer as far as it is written, judged as a whole at its end: a prompt for each step.

    The end is the last token that is no padding, as transformers reads it where a turn ends with the padding token.
    """

    grows = False

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.version = version_of_rounds(tokenizer)

    def write(self, question: str, steps: tuple[str, ...], from_step: int) -> list[PrmPrompt]:
        """See `Layout.write`."""
        return [self._prompt(question, steps[:count]) for count in range(from_step + 1, len(steps) + 1)]

    def _prompt(self, question: str, steps: Sequence[str]) -> PrmPrompt:
        ids, _ = encode_rounds(self._tokenizer, [question, "\n\n".join(steps)])
        end = max(place for place, token in enumerate(ids) if token != self._tokenizer.pad_token_id)
        return PrmPrompt(tuple(ids), (end,))


def single_token(tokenizer: Any, text: str) -> int:
    """The one token that a text is. Raises EngineUnavailable where it is none or several."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        raise EngineUnavailable(f"this model's tokenizer has no token {text!r}, so it is no PRM of this family")
    return int(ids[0])


def _joined(begin: list[int], steps: list[Pieces], from_step: int) -> PrmPrompt:
    """All pieces one after the other; judged at each mark's last token."""
    ids = list(begin)
    places = []
    for step, mark, after in steps:
        ids += [*step, *mark]
        places.append(len(ids) - 1)
        ids += after
    return PrmPrompt(tuple(ids), tuple(places[from_step:]))
