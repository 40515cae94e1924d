"""Token ids to text and to the characters where tokens end."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tasks.engines.spelling import Speller

TOKENIZER = AutoTokenizer.from_pretrained(str(Path(__file__).parents[1] / "zoo" / "abacus-1m"))


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_ends_ascend_to_the_end_of_any_text(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False, split_special_tokens=True)
    spelled, ends = Speller(TOKENIZER).spell(tokens)
    assert spelled == text
    assert len(ends) == len(tokens)
    assert list(ends) == sorted(ends)
    assert not tokens or ends[-1] == len(text)


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
    assert Speller(TOKENIZER).spell(tokens) == (text, expected)


def test_special_tokens_have_no_text() -> None:
    tokens = [*TOKENIZER.encode("7", add_special_tokens=False), TOKENIZER.eos_token_id]
    assert Speller(TOKENIZER).spell(tokens) == ("7", (1, 1))
