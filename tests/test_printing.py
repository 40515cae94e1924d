"""Rows of a query in the terminal: text as it is, but for what would steer the terminal."""

import pyarrow as pa
import pytest

from flows.printing import print_rows


@pytest.mark.parametrize(
    ("text", "shown"),
    [("[bold]x[/bold]", "[bold]x[/bold]"), ("\\[1]", "\\[1]"), ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"), ("中é", "中é")],
)
def test_a_cell_shows_its_text(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(pa.table({"text": [text]}), "table")
    assert f" {shown} " in capsys.readouterr().out
