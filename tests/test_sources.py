"""Where problems come from, and what bad rows are told."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from overthink.tasks.datasets import input_files as inputs
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.datasets.references import reference_field
from overthink.tasks.datasets.row_layouts import Columns
from overthink.tasks.datasets.sources import ChainsSource, FileSource, HubSource, QuestionsSource, has_references
from overthink.tasks.errors import ProblemError

DATA = Path(__file__).parents[2] / "shared" / "data"
GOOD = {"question": "1+1?", "answer": "2"}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def read(path: Path, skip_bad_rows: bool = False, **settings: Any) -> ProblemSet:
    return load_problems(FileSource(source="file", path=path, **settings), skip_bad_rows)


def chains(**settings: Any) -> ProblemSet:
    return load_problems(ChainsSource(source="chains", **settings))


def test_chains_by_count_and_lengths() -> None:
    levels = [problem.level for problem in chains(count=7, shortest=2, longest=4).problems]
    assert levels == ["2", "3", "4", "2", "3", "4", "2"]


def test_a_chain_carries_its_question_reference_and_domain() -> None:
    problem = chains(count=1, shortest=1, longest=1).problems[0]
    start, word, operand = re.findall(r"\d+|plus|minus|times", problem.question)
    value = {"plus": int.__add__, "minus": int.__sub__, "times": int.__mul__}[word](int(start), int(operand))
    assert (problem.reference, problem.domain, problem.subject) == (str(value), "chains", "arithmetic")


@pytest.mark.parametrize("change", [{"split": "train"}, {"seed": 1}])
def test_split_and_seed_choose_other_chains(change: dict[str, Any]) -> None:
    shape = {"count": 20, "shortest": 6}
    questions = [{p.question for p in chains(**shape, **more).problems} for more in ({}, change)]
    assert not questions[0] & questions[1]


def test_ids_and_keys_of_chains_do_not_depend_on_count() -> None:
    few, many = chains(count=10).problems, chains(count=40).problems
    assert few == many[:10]


def test_ids_of_chains_are_distinct() -> None:
    problems = chains(count=600).problems
    assert len({p.problem_id for p in problems}) == len({p.problem_key for p in problems}) == 600


def test_too_many_chains_are_a_problem_error() -> None:
    with pytest.raises(ProblemError, match="too few distinct chains"):
        chains(count=100_000, longest=1)


@pytest.mark.parametrize(
    "settings", [{"count": 0}, {"count": 1, "shortest": 5, "longest": 4}, {"count": 1, "longest": 13}]
)
def test_impossible_chains_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChainsSource(source="chains", **settings)


COLUMNS = Columns(question="q", reference="a", problem_id="id", level="l", subject="s")
MAPPED = [
    {"id": 7, "q": " 1+1? ", "a": 2, "l": 3, "s": "algebra"},
    {"id": "x", "q": "2+2?", "a": "4", "l": None, "s": None},
]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_with_a_column_mapping(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own.{suffix}"
    if suffix == "jsonl":
        lines(path, *MAPPED)
    else:
        pq.write_table(pa.Table.from_pylist([{k: v and str(v) for k, v in row.items()} for row in MAPPED]), path)
    found = read(path, columns=COLUMNS)
    assert [(p.problem_id, p.question, p.reference, p.level, p.subject, p.domain) for p in found.problems] == [
        ("7", "1+1?", "2", "3", "algebra", "own"),
        ("x", "2+2?", "4", None, None, "own"),
    ]


def test_without_an_id_column_rows_are_numbered_from_zero(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, "", GOOD | {"question": "2+2?"})
    assert [p.problem_id for p in read(path).problems] == ["0", "1"]


def test_a_dropped_row_does_not_renumber_the_others(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", "{", GOOD)
    assert [p.problem_id for p in read(path, skip_bad_rows=True).problems] == ["1"]


def test_what_follows_a_mark_is_the_reference(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"question": "q", "answer": "a #### 1\n#### 1,200 "})
    assert read(path, preset="gsm8k").problems[0].reference == "1,200"


BAD_ROWS = {
    "missing field": ({"answer": "2"}, "field 'question' is missing"),
    "null field": ({"question": "1+1?", "answer": None}, "field 'answer' is null"),
    "empty question": (GOOD | {"question": " \n"}, "field 'question' is empty"),
    "list as question": (GOOD | {"question": ["1+1?"]}, "field 'question' is a list"),
    "object as answer": (GOOD | {"answer": {"a": 1}}, "field 'answer' is a dict"),
    "true as answer": (GOOD | {"answer": True}, "field 'answer' is a bool"),
    "not JSON": ("{'question': 1}", "not JSON"),
    "cut off JSON": ('{"question": "1+1', "not JSON"),
    "no object": ("[1, 2]", "not a JSON object"),
    "deep nesting": ("[" * 100_000, "not JSON"),
    "half a surrogate pair": ('{"question": "\\ud800", "answer": "2"}', "field 'question'"),
    "NaN as answer": ('{"question": "1+1?", "answer": NaN}', "field 'answer'"),
}


@pytest.mark.parametrize(("row", "complaint"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_told_with_file_row_and_field(tmp_path: Path, row: Any, complaint: str) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, row, GOOD)
    with pytest.raises(ProblemError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, row 2: {complaint}")
    assert "--skip-bad-rows" in str(caught.value)


@pytest.mark.parametrize(("row", "complaint"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_skipped_bad_rows_are_dropped_and_counted(tmp_path: Path, row: Any, complaint: str) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, row, GOOD, row)
    found = read(path, skip_bad_rows=True)
    assert len(found.problems) == 2
    assert [
        text.startswith(f"{path}, row {number}: {complaint}")
        for text, number in zip(found.dropped, (2, 4), strict=True)
    ]


def test_bytes_that_are_no_text_are_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"question": "\xff", "answer": "1"}\n')
    with pytest.raises(ProblemError, match="row 2: not JSON"):
        read(path)


def test_rows_are_counted_by_the_files_own_lines(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", "", json.dumps(GOOD | {"question": "a\u2028b"}, ensure_ascii=False), "", "{}")
    with pytest.raises(ProblemError, match="row 4: "):
        read(path)


def test_a_duplicate_id_is_a_bad_row(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", *[GOOD | {"id": i} for i in (1, 2, "1")])
    with pytest.raises(ProblemError, match=re.escape(f"{path}, row 3: id '1' (id) is there twice")):
        read(path, columns=Columns(problem_id="id"))


def test_no_mark_in_the_answer_is_a_bad_row(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"question": "q", "answer": "just 3"})
    with pytest.raises(ProblemError, match="row 1: field 'answer' has nothing after '####'"):
        read(path, preset="gsm8k")


def test_nothing_after_the_mark_is_a_bad_row(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"question": "q", "answer": "3 #### "})
    with pytest.raises(ProblemError, match="nothing after '####'"):
        read(path, preset="gsm8k")


def test_a_bad_row_of_a_parquet_file_is_numbered(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["1+1?", None], "answer": ["2", "3"]}), path)
    with pytest.raises(ProblemError, match=r"p\.parquet, row 2: field 'question' is null"):
        read(path)


@pytest.mark.parametrize("value", [b"1+1?", float("nan")], ids=["bytes", "NaN"])
def test_a_parquet_value_that_is_no_text_is_a_bad_row(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["1+1?"], "answer": [value]}), path)
    with pytest.raises(ProblemError, match="row 1: field 'answer'"):
        read(path)


@pytest.mark.parametrize("skip_bad_rows", [False, True])
@pytest.mark.parametrize("content", ["", "\n\n", "{}\n[]\n"])
def test_a_file_without_usable_rows_is_refused(tmp_path: Path, content: str, skip_bad_rows: bool) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    with pytest.raises(ProblemError, match=re.escape(str(path))):
        read(path, skip_bad_rows)


@pytest.mark.parametrize("name", ["p.txt", "p", "p.xlsx"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProblemError, match=r"read from \.jsonl, \.jsonl\.gz, \.json, \.csv, \.parquet files"):
        read(lines(tmp_path / name, GOOD))


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProblemError, match=rf"{name}: cannot be read .*problems\.path"):
        read(tmp_path / name)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="cannot be read"):
        read(lines(tmp_path / "p.parquet", GOOD))


def test_a_limit_takes_the_first_problems_and_reads_no_further(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, GOOD, "broken")
    assert len(read(path, limit=2).problems) == 2


def test_one_text_under_two_ids_is_two_problems(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, GOOD)
    assert len({p.problem_key for p in read(path).problems}) == 2


@pytest.mark.parametrize("field", ["question", "answer"])
def test_the_sets_name_changes_with_its_contents(tmp_path: Path, field: str) -> None:
    path = tmp_path / "p.jsonl"
    before = read(lines(path, GOOD)).name
    assert read(lines(path, GOOD)).name == before != read(lines(path, GOOD | {field: "other"})).name


@pytest.mark.parametrize(
    ("name", "preset", "count"),
    [("math500", "math500", 500), ("aime24", "aime24", 30), ("amc23", "amc23", 40), ("gsm8k_test", "gsm8k", 1319)],
)
def test_presets_read_the_real_files(name: str, preset: str, count: int) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    problems = read(path, preset=preset).problems
    assert len(problems) == len({p.problem_key for p in problems}) == count
    if preset != "math500":
        assert all(re.fullmatch(r"-?[\d,]+(\.\d+)?", p.reference) for p in problems)
    else:
        assert {p.level for p in problems} == {f"Level {n}" for n in range(1, 6)}
        assert problems[0].problem_id.startswith("test/")


HUB = HubSource(source="hub", dataset="someone/sums", revision="abc", config="main", split="train")


def test_a_data_set_without_network_is_a_problem_error(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")

    def no_network(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    with pytest.raises(ProblemError, match=r"cannot load data set someone/sums at abc: ConnectionError.*source: file"):
        load_problems(HUB)


def test_a_data_set_is_read_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    asked: list[Any] = []

    def load(*arguments: Any, **named: Any) -> list[dict[str, str]]:
        asked.append((arguments, named))
        return [GOOD, {"question": ""}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = load_problems(HUB, skip_bad_rows=True)
    assert asked == [(("someone/sums", "main"), {"split": "train", "revision": "abc"})]
    assert (len(found.problems), found.title) == (1, "sums")
    assert found.dropped[0].startswith("someone/sums (train), row 2: field 'question' is empty")


def test_a_missing_package_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ProblemError, match="pip install datasets"):
        load_problems(HUB)


def test_questions_are_problems_without_references_named_by_what_they_say() -> None:
    source = QuestionsSource(source="questions", questions=("1+1?", " 2+2? ", "1+1?"))
    found = load_problems(source).problems
    assert [(problem.question, problem.reference) for problem in found] == [("1+1?", None), ("2+2?", None)]
    assert found[0] == load_problems(QuestionsSource(source="questions", questions=("1+1?",))).problems[0]
    assert not has_references(source)


def test_without_a_column_of_references_there_are_none(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD)
    columns = Columns(reference=None)
    (problem,) = read(path, columns=columns).problems
    assert problem.reference is None
    sources = [FileSource(source="file", path=path, columns=one) for one in (columns, None)]
    assert list(map(has_references, sources)) == [False, True]


def test_what_precedes_a_reference_needs_one() -> None:
    with pytest.raises(ValidationError, match="reference_after = '####' is of no use without a `reference`"):
        Columns(reference=None, reference_after="####")


REFERENCES = {
    "small": ("0.00001", "0.00001"),
    "smaller": ("1.60e-19", "0.000000000000000000160"),
    "large": ("1e16", "10000000000000000"),
    "trailing zeros": ("2.50", "2.50"),
    "many digits": ("0.12345678901234567890123", "0.12345678901234567890123"),
    "too long to be written out": ("1e-300", "1e-300"),
    "an integer": (str(10**40), str(10**40)),
    "text is left alone": ('"1e16"', "1e16"),
    "one in a list": ('["42"]', "42"),
    "a list": ('[1, 0.50, " x "]', "1, 0.50, x"),
    "thousands in a list": ('["1,200", "$3,4$"]', "1200, $3,4$"),
}


@pytest.mark.parametrize(("written", "reference"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_keeps_its_value(tmp_path: Path, written: str, reference: str) -> None:
    path = lines(tmp_path / "p.jsonl", f'{{"question": "q", "answer": {written}}}')
    assert read(path).problems[0].reference == reference


@pytest.mark.parametrize("field", ["question", "id"])
def test_numbers_that_are_no_references_are_spelt_as_before(tmp_path: Path, field: str) -> None:
    row = {"question": 1, "answer": 1, "id": 1} | {field: 1e16}
    (problem,) = read(lines(tmp_path / "p.jsonl", row), columns=Columns(problem_id="id")).problems
    assert {"question": problem.question, "id": problem.problem_id}[field] == "1e+16"


@pytest.mark.parametrize(
    ("column", "reference"),
    [
        (pa.array([0.00001]), "0.00001"),
        (pa.array([1e16]), "10000000000000000"),
        (pa.array([0.1], pa.float32()), "0.1"),
        (pa.array([[0.1, 3]], pa.list_(pa.float32())), "0.1, 3.0"),
        (pa.array([Decimal("2.50")], pa.decimal128(38, 2)), "2.50"),
        (pa.array([Decimal("0.000000001")], pa.decimal128(38, 9)), "0.000000001"),
        (pa.array(["1", "2"]).dictionary_encode().slice(1), "2"),
    ],
)
def test_a_reference_of_a_parquet_file_keeps_its_value(tmp_path: Path, column: pa.Array, reference: str) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["q"] * len(column), "answer": column}), path)
    assert read(path).problems[0].reference == reference


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (np.int64(7), "7"),
        (np.float32(0.1), "0.1"),
        (np.float64(1e16), "10000000000000000"),
        (np.array([1, 2]), "1, 2"),
        (Decimal("1E-7"), "0.0000001"),
    ],
)
def test_references_of_numpys_types_are_numbers(value: Any, reference: str) -> None:
    assert reference_field("row 1", {"answer": value}, "answer") == reference


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ([], "field 'answer' is an empty list"),
        ([1, [2]], "field 'answer.1' is a list"),
        ([1, None], "field 'answer.1' is null"),
        ([True], "field 'answer.0' is a bool"),
        ([" "], "field 'answer.0' is empty"),
        ([{"a": 1}], "field 'answer.0' is a dict"),
    ],
)
def test_a_list_that_is_no_answer_is_refused(tmp_path: Path, answer: Any, complaint: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(f"row 1: {complaint}")):
        read(lines(tmp_path / "p.jsonl", GOOD | {"answer": answer}))


def test_columns_go_before_a_presets(tmp_path: Path) -> None:
    row = {"problem": "1+1?", "answer": "wrong", "gold": 2, "unique_id": "a/1", "level": 1, "subject": "sums"}
    source = FileSource(
        source="file", path=lines(tmp_path / "p.jsonl", row), preset="math500", columns={"reference": "gold"}
    )
    (problem,) = load_problems(source).problems
    assert (problem.problem_id, problem.question, problem.reference) == ("a/1", "1+1?", "2")
    assert (problem.level, problem.subject) == ("1", "sums")
    assert FileSource.model_validate_json(source.model_dump_json()) == source


def test_a_presets_mark_needs_a_reference(tmp_path: Path) -> None:
    source = {"source": "file", "path": tmp_path / "p.jsonl", "preset": "gsm8k"}
    with pytest.raises(ValidationError, match="set reference_after to null"):
        FileSource.model_validate(source | {"columns": {"reference": None}})
    mended = FileSource.model_validate(source | {"columns": {"reference": None, "reference_after": None}})
    assert mended.layout.question == "question" and not has_references(mended)


def test_a_key_that_is_there_twice_is_a_bad_row(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", GOOD, '{"question": "q", "answer": "1", "answer": "2"}', GOOD)
    with pytest.raises(ProblemError, match=r"row 2: the key 'answer' is there twice: keep one; mend the row"):
        read(path)
    assert len(read(path, skip_bad_rows=True).problems) == 2


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 3, ["question", "answer", "answer"]), path)
    with pytest.raises(ProblemError, match="the column 'answer' is there twice"):
        read(path)


def test_a_line_that_is_too_long_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LONGEST_LINE", 100)
    path = lines(tmp_path / "p.jsonl", GOOD, GOOD | {"question": "x" * 250}, GOOD, GOOD | {"answer": "x" * 99})
    found = read(path, skip_bad_rows=True)
    assert [problem.problem_id for problem in found.problems] == ["0", "2"]
    assert all(
        text.startswith(f"{path}, row {row}: longer than the 100")
        for text, row in zip(found.dropped, (2, 4), strict=True)
    )


@pytest.mark.parametrize("name", ["unit", "tolerance", "public_tests", "inputs"])
def test_a_column_that_the_recipe_names_and_no_row_has_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "q", "answer": "1"}\n{"question": "p", "answer": "2"}\n')
    columns = {"question": "question", "reference": "answer", name: "mistyped"}
    source = FileSource.model_validate({"source": "file", "path": str(path), "columns": columns})
    with pytest.raises(ProblemError, match=f"no row has 'mistyped', which `columns` names for {name}"):
        load_problems(source)
