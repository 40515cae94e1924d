"""Spellings by kind: the verdict on each pair is the same both ways, and equal answers are grouped the same way."""

import pytest
from math_spellings import SPELLINGS
from test_math_equality import verdict

PAIRS = [(kind, *pair) for kind, pairs in SPELLINGS.items() for pair in pairs]


@pytest.mark.parametrize(("kind", "one", "other", "expected"), PAIRS)
def test_a_pair_has_its_verdict_both_ways(kind: str, one: str, other: str, expected: str) -> None:
    assert (verdict(one, other), verdict(other, one)) == (expected, expected), kind


@pytest.mark.parametrize("text", sorted({text for _, one, other, _ in PAIRS for text in (one, other)}))
def test_every_spelling_equals_itself(text: str) -> None:
    assert verdict(text, text) == "equal"
