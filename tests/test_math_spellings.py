"""Spellings by kind: the verdict on each pair is the same both ways, and each spelling equals itself."""

from pathlib import Path

import pytest
from test_math_equality import verdict

LINES = Path(__file__).with_name("math_spellings.txt").read_text(encoding="utf-8").splitlines()
PAIRS = [tuple(line.split(" ;; ")) for line in LINES[1:] if " ;; " in line]


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_a_pair_has_its_verdict_both_ways(one: str, other: str, expected: str) -> None:
    assert (verdict(one, other), verdict(other, one)) == (expected, expected)


@pytest.mark.parametrize("text", sorted({text for one, other, _ in PAIRS for text in (one, other)}))
def test_every_spelling_equals_itself(text: str) -> None:
    assert verdict(text, text) == "equal"


def test_the_pairs_are_read() -> None:
    assert len(PAIRS) > 450
