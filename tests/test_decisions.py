"""The index of docs/decisions.md: a line a decision, whose status is true of the headings."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text(encoding="utf-8")
DECISIONS = re.findall(r"^## (.*) \(\d{4}-\d{2}\)$", PAGE, re.MULTILINE)
INDEX = re.findall(r"^\| (.*) \| (stands|amended by .*|superseded by .*) \|$", PAGE, re.MULTILINE)


def test_every_heading_is_a_decision_with_its_month() -> None:
    assert len(DECISIONS) == len(re.findall("^## ", PAGE, re.MULTILINE)) > 100


def test_the_index_has_every_decision_once_and_in_order() -> None:
    assert [title for title, _ in INDEX] == DECISIONS, "give each decision its line in the index at the top of the page"


def test_a_status_names_decisions_that_were_taken_later() -> None:
    amended = {title: re.findall('"(.*?)"(?=, "|$)', status) for title, status in INDEX if status != "stands"}
    assert len(amended) > 10
    for title, later in amended.items():
        assert later, title
        for other in later:
            assert DECISIONS.index(other) > DECISIONS.index(title), (title, other)
