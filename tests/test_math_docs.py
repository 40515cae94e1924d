"""Every row of the tables in docs/grading.md."""

import re
from pathlib import Path

import pytest
from test_math_equality import verdict

from overthink.tasks.domains.math.extraction import extract_answer

ROWS = [
    [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
    for line in (Path(__file__).parents[1] / "docs" / "grading.md").read_text().splitlines()
    if line.startswith("| `")
]
TEXTS = [row for row in ROWS if len(row) == 2]
PAIRS = [row for row in ROWS if len(row) == 4]


@pytest.mark.parametrize("row", TEXTS)
def test_a_text_gives_its_answer(row: list[str]) -> None:
    text, answer = row
    assert extract_answer(text) == (answer or None)


@pytest.mark.parametrize("row", PAIRS)
def test_a_pair_has_its_verdict_both_ways(row: list[str]) -> None:
    reference, answer, expected, _ = row
    assert (verdict(reference, answer), verdict(answer, reference)) == (expected, expected)


def test_the_tables_are_read() -> None:
    assert len(TEXTS) > 5
    assert len(PAIRS) > 40
