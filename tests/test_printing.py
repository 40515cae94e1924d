"""Rows of a query in every format: each value as it is, in a form that others read; nothing steers a terminal."""

import csv
import datetime
import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.table import Table

from overthink.flows.commands.output import print_rows
from overthink.flows.commands.terminal import console
from overthink.storage.sql import AnswerRows, query, stream
from overthink.storage.store import Store
from overthink.tasks.errors import UserError

STEERING = "a\x1b[31mb\x07\x9b2J\u202ec\x7f"
SHOWN = "a\\x1b[31mb\\x07\\x9b2J\\u202ec\\x7f"
ODD = {
    "1": 1,
    "NULL": None,
    "'NaN'::DOUBLE": None,
    "'-Infinity'::FLOAT": None,
    "0.1::DOUBLE": Decimal("0.1"),
    "12345678901234567890123456789.123456789::DECIMAL(38, 9)": Decimal("12345678901234567890123456789.123456789"),
    "sum(170141183460469231731687303715884105727::HUGEINT)": 170141183460469231731687303715884105727,
    "340282366920938463463374607431768211455::UHUGEINT": "340282366920938463463374607431768211455",
    "DATE '2026-11-29'": "2026-11-29",
    "TIMESTAMP '2026-11-29 01:02:03.5'": "2026-11-29T01:02:03.500000",
    "TIME '01:02:03'": "01:02:03",
    "'01:02:03+02:00'::TIMETZ": "01:02:03+02",
    "INTERVAL 1 DAY": "1 day",
    "'101'::BIT": "101",
    "'\\x00a\\xFF'::BLOB": "\\x00a\\xFF",
    "[1, NULL, 3]": [1, None, 3],
    "[1.5, 'NaN'::DOUBLE]": [1.5, None],
    "{'a': [DATE '2026-11-29'], 'b': NULL}": {"a": ["2026-11-29"], "b": None},
    "MAP {'k': 1}": [["k", 1]],
    "'x'::ENUM('x', 'y')": "x",
    "uuid()::VARCHAR = ''": False,
    "union_value(n := 7)": "7",
    "'say \"a, b\"\n[/red]'": 'say "a, b"\n[/red]',
    f"'{STEERING}'": STEERING,
}
ODD_SQL = "SELECT " + ", ".join(f"{sql} AS v{place}" for place, sql in enumerate(ODD))


class TerminalBuffer(io.TextIOWrapper):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def rows_of(table: pa.Table) -> AnswerRows:
    return AnswerRows(table.schema, iter(table.to_batches(max_chunksize=3)))


def printed(rows: AnswerRows, output: str, monkeypatch: pytest.MonkeyPatch, on_terminal: bool = False) -> bytes:
    """What standard output gets."""
    raw = io.BytesIO()
    screen = (TerminalBuffer if on_terminal else io.TextIOWrapper)(raw, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "dumb")
    print_rows(rows, output)
    screen.flush()
    return raw.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def odd(store: Store) -> Iterator[AnswerRows]:
    with stream(store, ODD_SQL) as rows:
        yield rows


@pytest.mark.parametrize("name", ["[/red]", "[bold]x[/bold]", "\\[1]", ":smile:", STEERING])
def test_a_table_shows_names_and_texts_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(rows_of(pa.table({name: [name]})), "table", monkeypatch).decode().splitlines()
    assert [line.strip("┃│ ") for line in (shown[1], shown[3])] == [SHOWN if name == STEERING else name] * 2


def test_a_table_stops_after_200_rows_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(rows_of(pa.table({"i": list(range(1000))})), "table", monkeypatch).decode()
    assert "199" in shown
    assert " 200 " not in shown
    assert "200 of 1000 rows; --format csv prints all" in shown


@pytest.mark.parametrize("title", ["[/red]", STEERING])
def test_no_table_of_ours_takes_text_for_markup(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.StringIO()
    monkeypatch.setattr(sys, "stdout", raw)
    table = Table("model", title=title)
    table.add_row(title)
    console().print(table)
    console().print(title)
    assert raw.getvalue().count(SHOWN if title == STEERING else title) == 3


def test_json_is_valid_and_holds_every_value(odd: AnswerRows, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(odd, "json", monkeypatch).decode()
    assert text.replace("\n", "").isprintable()
    (row,) = json.loads(text, parse_constant=pytest.fail, parse_float=Decimal)
    assert list(row.values()) == list(ODD.values())


def test_json_of_many_rows_and_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"i": [1, 2, 3, 4], "[": ["a", None, "é", "]"]})
    assert json.loads(printed(rows_of(table), "json", monkeypatch)) == table.to_pylist()
    assert json.loads(printed(rows_of(table.slice(0, 0)), "json", monkeypatch)) == []


def test_csv_holds_every_value(odd: AnswerRows, monkeypatch: pytest.MonkeyPatch) -> None:
    names, row = csv.reader(io.StringIO(printed(odd, "csv", monkeypatch).decode(), newline=""))
    assert len(names) == len(row) == len(ODD)
    found = dict(zip(ODD, row, strict=True))
    assert found["NULL"] == ""
    for sql, value in ODD.items():
        if isinstance(value, str):  # pyarrow writes times in its own way, which means the same
            assert found[sql].replace(" ", "T").removesuffix(".000000") == value.replace(" ", "T")
        elif isinstance(value, list | dict):
            assert json.loads(found[sql]) == value


def test_csv_of_names_with_commas_and_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({'a"b,c': ["x"], "[/red]": ["y"]})
    text = printed(rows_of(table), "csv", monkeypatch).decode()
    assert list(csv.reader(io.StringIO(text))) == [['a"b,c', "[/red]"], ["x", "y"]]


def test_csv_on_a_terminal_does_not_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({STEERING: [STEERING, None]})
    assert printed(rows_of(table), "csv", monkeypatch, on_terminal=True).decode() == f'"{SHOWN}"\n"{SHOWN}"\n\n'
    assert STEERING in printed(rows_of(table), "csv", monkeypatch).decode(), "a file has the text itself"


def test_parquet_is_what_was_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with stream(store, "SELECT i, i AS i, [i] AS l FROM range(5000) t(i)") as rows:
        file = io.BytesIO(printed(rows, "parquet", monkeypatch))
    assert pq.read_table(file) == query(store, "SELECT i, i AS i_1, [i] AS l FROM range(5000) t(i)")


def test_parquet_does_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="send it to a file"):
        printed(rows_of(pa.table({"i": [1]})), "parquet", monkeypatch, on_terminal=True)


def test_a_query_that_fails_midway_leaves_no_parquet_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "SELECT CASE WHEN i = 90000 THEN error('boom') ELSE i END AS x FROM range(100000) t(i)"
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw))
    with pytest.raises(Exception, match="boom"), stream(store, sql) as rows:
        print_rows(rows, "parquet")
    assert raw.getvalue() == b""


@pytest.mark.parametrize(
    ("sql", "output"),
    [
        ("SELECT 'infinity'::DATE", "json"),
        ("SELECT 'infinity'::TIMESTAMP", "table"),
        ("SELECT [INTERVAL 1 DAY]", "parquet"),
    ],
)
def test_a_value_without_a_form_is_told_in_one_line(
    store: Store, sql: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stream(store, sql) as rows, pytest.raises(UserError, match=f"cannot be written as {output}: .*VARCHAR"):
        printed(rows, output, monkeypatch)


@pytest.mark.parametrize("output", ["table", "csv", "json", "parquet"])
def test_columns_of_one_name_keep_their_own_values(store: Store, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with stream(store, "SELECT 'one' AS x, 'two' AS x, 'three' AS x_1, 'four' AS y, 'five' AS x") as rows:
        raw = printed(rows, output, monkeypatch)
    assert _read(raw, output) == {"x": "one", "x_2": "two", "x_1": "three", "y": "four", "x_3": "five"}


def _read(raw: bytes, output: str) -> dict[str, Any]:
    match output:
        case "json":
            return dict(json.loads(raw)[0])
        case "parquet":
            return dict(pq.read_table(io.BytesIO(raw)).to_pylist()[0])
        case "csv":
            return next(csv.DictReader(io.StringIO(raw.decode())))
        case _:
            _, names, _, values, *_ = raw.decode().splitlines()
            cells = (line.replace("┃", "│").strip("│").split("│") for line in (names, values))
            return dict(zip(*([cell.strip() for cell in line] for line in cells), strict=True))


def test_dates_in_a_table_are_iso(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"d": [datetime.date(2026, 11, 29)]})
    assert "2026-11-29" in printed(rows_of(table), "table", monkeypatch).decode()
