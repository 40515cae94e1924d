"""Token ids to text and to the characters where tokens end."""

from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from overthink.tasks.engines.detokenize import Detokenizer
from overthink.tasks.engines.ends import Ends

TOKENIZER = AutoTokenizer.from_pretrained(str(Path(__file__).parents[1] / "zoo" / "abacus-1m"))


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_ends_ascend_to_the_end_of_any_text(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    spelled, ends = Detokenizer(TOKENIZER).decode(tokens)
    assert spelled == normalize("NFC", text), "the tokenizer's own normal form"
    assert len(ends) == len(tokens)
    assert list(ends) == sorted(ends)
    assert not tokens or ends[-1] == len(spelled)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12\n\n3", (1, 2, 4, 5)),
        ("é", (0, 1)),
        ("中a", (0, 0, 1, 2)),
        ("\U0001f600", (0, 0, 0, 1)),
    ],
)
def test_a_character_ends_with_the_last_of_its_tokens(text: str, expected: tuple[int, ...]) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    assert Detokenizer(TOKENIZER).decode(tokens) == (text, expected)


def test_special_tokens_have_no_text() -> None:
    tokens = [*TOKENIZER.encode("7", add_special_tokens=False), TOKENIZER.eos_token_id]
    assert Detokenizer(TOKENIZER).decode(tokens) == ("7", (1, 1))


@pytest.mark.parametrize("stop", ["\n\n", "\n", "7", "system", " "])
def test_stop_tokens_are_all_tokens_whose_text_holds_the_stop_string(stop: str) -> None:
    texts = {token: TOKENIZER.decode([token]) for token in range(len(TOKENIZER))}
    assert Ends(TOKENIZER).tokens_with(stop) == tuple(token for token, text in texts.items() if stop in text)
    assert Ends(TOKENIZER).tokens_with(stop) != ()


@pytest.mark.parametrize("stop", ["\n\n\n\n", "no such token", "\u4e2d"])
def test_a_stop_string_that_no_token_holds_has_no_stop_tokens(stop: str) -> None:
    assert Ends(TOKENIZER).tokens_with(stop) == ()


def test_a_text_stopped_at_its_stop_tokens_is_stopped_at_its_first_delimiter() -> None:
    text = "12+3=15\n\n15*2=30\n\n\\boxed{30}"
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    ids = Ends(TOKENIZER).tokens_with("\n\n")
    first = next(place for place, token in enumerate(tokens) if token in ids)
    assert TOKENIZER.decode(tokens[: first + 1]) == "12+3=15\n\n"


def test_the_vocabulary_is_read_once_for_each_stop_string() -> None:
    class Counting:
        reads = 0

        def __len__(self) -> int:
            return 3

        def get_added_vocab(self) -> dict[str, int]:
            return {}

        def batch_decode(self, tokens: list[list[int]]) -> list[str]:
            self.reads += 1
            return ["a", "a\n\n", "\n\nb"][: len(tokens)]

    tokenizer = Counting()
    stops = Ends(tokenizer)
    assert [stops.tokens_with(stop) for stop in ("\n\n", "\n\n", "c", "c")] == [(1, 2), (1, 2), (), ()]
    assert tokenizer.reads == 2
