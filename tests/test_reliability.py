"""The page on faults: every row says what was seen, and names tests that are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
TITLE = ["fault", "what was tried", "what held", "test"]
NAMED = re.compile(r"`(test_\w+)\.(test_\w+)`")


def rows() -> list[list[str]]:
    """The cells of the rows of every table with these titles."""
    found: list[list[str]] = []
    inside = False
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == TITLE:
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(line) <= set("|-: "):
            found.append(cells)
    return found


def test_the_table_has_every_fault_of_the_list() -> None:
    faults = " / ".join(row[0] for row in rows())
    for fault in (
        *("engine process is killed", "500", "429", "hangs", "garbage", "short reply", "PRM", "NaN", "disk is full"),
        *("EIO", "torn", "flipped", "clock", "at once", "SIGTERM", "SIGINT", "kill -9"),
        *("Prefect server is down at the start", "in the middle", "at the end", "Postgres", "object store"),
    ):
        assert fault in faults, fault


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_row_says_what_held_and_names_tests_that_are_there(row: list[str]) -> None:
    fault, tried, held, tests = row
    assert fault and tried and held
    assert NAMED.sub("", tests).strip(" ,") == "", "nothing but names of tests"
    for module, name in NAMED.findall(tests):
        (path,) = TESTS.rglob(f"{module}.py")
        source = path.read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {name}\(", source, flags=re.MULTILINE), f"{module}.{name}"
    assert NAMED.search(tests)
