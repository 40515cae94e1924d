"""Rows out of JSON arrays and CSV, and columns that lie inside others."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from overthink.tasks.datasets import input_files
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.datasets.rows import inner_field
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.errors import ProblemError


def read(path: Path, content: str | bytes, skip_bad_rows: bool = False, **settings: Any) -> ProblemSet:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_problems(FileSource.model_validate({"source": "file", "path": path, **settings}), skip_bad_rows)


def test_a_json_array_is_read_like_lines(tmp_path: Path) -> None:
    rows = '[{"question": "1+1?", "answer": 2},\n {"question": "1/2?", "answer": 0.50}]'
    found = read(tmp_path / "rows.json", rows).problems
    assert [(one.problem_id, one.question, one.reference) for one in found] == [
        ("0", "1+1?", "2"),
        ("1", "1/2?", "0.50"),
    ]
    lines = "\n".join(map(json.dumps, json.loads(rows))).replace("0.5", "0.50")
    assert read(tmp_path / "rows.jsonl", lines).problems == found


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"question": "q", "answer": "1"}', "cannot be read (it is not one JSON array: JSON objects, one a line, are"),
        ('[{"question": "q", "answer": "1"}', "cannot be read (not JSON ("),
        ("[1]", ", row 1: not a JSON object"),
        ('[{"question": "q", "answer": "1", "answer": "2"}]', "the key 'answer' is there twice: keep one"),
        ("[]", "no usable problem in it"),
        (b"\xff", "cannot be read ("),
    ],
)
def test_what_is_no_array_of_rows_is_told(content: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        read(tmp_path / "rows.json", content)
    assert str(tmp_path / "rows.json") in str(error.value) and told in str(error.value)


# Without a clock: the names of tests are made of it.
# No clock in it: the names of tests are made of it.
PACKED = gzip.compress(b'{"question": "q", "answer": "1"}\n{"question": "p", "answer": "2"}', mtime=0)


def test_packed_lines_are_read_like_lines(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.jsonl.gz", PACKED)
    assert found.title == "rows" and found.problems == read(tmp_path / "rows.jsonl", gzip.decompress(PACKED)).problems


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (PACKED[:-9], "cannot be unpacked ("),
        (b"question", "cannot be read (Not a gzipped file"),
        (PACKED[:30] + b"\xff" * 9 + PACKED[39:], "cannot be read ("),
        (gzip.compress(b"[1]", mtime=0), "row 1: not a JSON object"),
    ],
)
def test_what_is_not_packed_rows_is_told(content: bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        read(tmp_path / "rows.jsonl.gz", content)
    assert told in str(error.value)


def test_no_more_is_unpacked_than_is_read_of_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "LONGEST_FILE", 40)
    with pytest.raises(ProblemError, match="more than the 40 bytes that are read"):
        read(tmp_path / "rows.jsonl.gz", PACKED, skip_bad_rows=True)


def test_csv_is_read_by_the_names_in_its_first_row(tmp_path: Path) -> None:
    content = '\ufeffquestion,answer,"a, b"\r\n"1+1,\nsay?",2,x\r\n\r\n"a ""b""?",0.50,\r\n'
    found = read(tmp_path / "rows.csv", content).problems
    assert [(one.question, one.reference) for one in found] == [("1+1,\nsay?", "2"), ('a "b"?', "0.50")]
    assert [one.fields["a, b"] for one in found] == ["x", None]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("question,answer\nq\n", "row 1: 1 values for 2 columns"),
        ("question,answer\nq,1,2\n", "row 1: 3 values for 2 columns"),
        ("question,answer\nq,\n", "row 1: field 'answer' is null"),
        ("question,question\nq,1\n", "the column 'question' is there twice: keep one"),
        ('question,answer\n"q,1\n', "not CSV (unexpected end of data in line 2)"),
        (b"question,answer\n\xff,1\n", "cannot be read ("),
        ("", "no usable problem in it"),
    ],
)
def test_a_bad_row_of_csv_is_told(content: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        read(tmp_path / "rows.csv", content)
    assert told in str(error.value)


def test_bad_rows_of_csv_can_be_left_out(tmp_path: Path) -> None:
    found = read(tmp_path / "rows.csv", "question,answer\nq\nr,2\n", skip_bad_rows=True)
    assert ([one.question for one in found.problems], len(found.dropped)) == (["r"], 1)


def test_a_column_may_lie_inside_others(tmp_path: Path) -> None:
    row = {"examples": [{"input": "q?", "target": "5"}], "a.b": 1}
    columns = {"question": "examples.0.input", "reference": "examples.0.target"}
    (problem,) = read(tmp_path / "rows.jsonl", json.dumps(row), columns=columns).problems
    assert (problem.question, problem.reference) == ("q?", "5")
    with pytest.raises(ProblemError, match="row 1: field 'examples.1.input' is missing"):
        read(tmp_path / "rows.jsonl", json.dumps(row), columns=columns | {"question": "examples.1.input"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a", {"b": [1, 2]}),
        ("a.b", 7),
        ("a.b.1", 2),
        ("c.d.1", 4),
        ("c.d.2", None),
        ("c.d.-1", None),
        ("c.d.e", None),
    ],
)
def test_a_name_with_dots_is_a_name_first(field: str, value: Any) -> None:
    assert inner_field({"a": {"b": [1, 2]}, "a.b": 7, "c": {"d": [3, 4]}}, field) == value
