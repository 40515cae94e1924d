"""Tables that are wider than the terminal: in parts, each with the key columns, and no cell is lost."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from overthink.tasks.reporting.fitting_tables import fitting_tables

WORDS = st.text("abcdefgh0123", min_size=1, max_size=20)


def drawn(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_table_that_fits_is_left_as_it_is() -> None:
    table = Table("a", "b", title="t")
    table.add_row("1", "2")
    assert fitting_tables(table, 80) == [table]


def test_parts_repeat_the_keys_and_have_the_title_and_the_caption_once() -> None:
    table = Table("run", *(f"column {number}" for number in range(9)), title="title", caption="caption")
    table.add_row("mine", *(f"value {number}" for number in range(9)))
    parts = fitting_tables(table, 40)
    assert [part.columns[0].header for part in parts] == ["run"] * len(parts)
    assert [part.title for part in parts] == ["title", *([None] * (len(parts) - 1))]
    assert [part.caption for part in parts] == [*([None] * (len(parts) - 1)), "caption"]


@given(st.lists(st.lists(WORDS, min_size=6, max_size=6), min_size=1, max_size=3), st.integers(70, 120))
def test_every_cell_is_whole_within_the_width(rows: list[list[str]], width: int) -> None:
    table = Table("key", *"vwxyz")
    for row in rows:
        table.add_row(*row)
    texts = [drawn(part, width) for part in fitting_tables(table, width)]
    assert all(len(line) <= width for text in texts for line in text.splitlines())
    assert all(any(cell in text for text in texts) for row in rows for cell in row)


def test_a_text_that_is_too_long_is_folded_and_not_cut() -> None:
    table = Table("key", "text")
    table.add_row("k", "x" * 200)
    (part,) = fitting_tables(table, 40)
    assert drawn(part, 40).count("x") == 200 + "text".count("x")
