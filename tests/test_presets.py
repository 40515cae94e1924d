"""The presets: each reads its files, in every format, and each of its columns gives way to a recipe's."""

import csv
import json
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from overthink.flows.commands import terminal
from overthink.flows.commands.cli import app
from overthink.tasks.datasets.presets import PRESETS, PresetName
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.datasets.published import PUBLISHED
from overthink.tasks.datasets.row_layouts import Columns
from overthink.tasks.datasets.sources import FileSource, HubSource
from overthink.tasks.domains.math.mathematics import Mathematics
from overthink.tasks.errors import ProblemError
from overthink.tasks.records import Problem

MATH_DATA = Path(__file__).parents[2] / "shared" / "data" / "math"
ROWS: dict[str, dict[str, Any]] = {
    "math500": {"problem": "q", "answer": "0.10", "unique_id": "a/1", "level": "Level 1", "subject": "Algebra"},
    "aime24": {"problem": "q", "extracted_groundtruth": "073"},
    "amc23": {"problem": "q", "extracted_groundtruth": "27.0"},
    "gsm8k": {"question": "q", "answer": "Because.\n#### 1,234"},
    "aime25": {"id": "aime25-0", "problem": "q", "expected_answer": "70"},
    "aime26": {"problem_idx": 1, "problem": "q", "answer": 277},
    "hmmt": {"id": "h1", "problem": "q", "expected_answer": "$25 / 3$", "subset_for_metrics": "hmmt-24-25"},
    "olympiadbench": {"id": 2592, "question": "q", "final_answer": "4.2", "error": "1e-1", "subfield": "Algebra"},
    "minerva": {"question": "q", "answer": "1e-7"},
    "math_perturb": {"problem_id": 7, "problem": "q", "answer": 0.5, "level": "Level 5", "type": "Algebra"},
}
REFERENCES = {
    "math500": "0.10",
    "aime24": "073",
    "amc23": "27.0",
    "gsm8k": "1,234",
    "aime25": "70",
    "aime26": "277",
    "hmmt": "$25 / 3$",
    "olympiadbench": "4.2",
    "minerva": "1e-7",
    "math_perturb": "0.5",
}


def written(folder: Path, ending: str, row: dict[str, Any]) -> Path:
    path = folder / f"set.{ending}"
    match ending:
        case "jsonl":
            path.write_text(json.dumps(row))
        case "json":
            path.write_text(json.dumps([row], indent=1))
        case "csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([row.keys(), row.values()])
        case "parquet":
            pq.write_table(pa.Table.from_pylist([row]), path)
    return path


def read(path: Path, **settings: Any) -> ProblemSet:
    return load_problems(FileSource(source="file", path=path, **settings))


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("preset", ROWS)
def test_a_preset_reads_its_layout_in_every_format(tmp_path: Path, preset: str, ending: str) -> None:
    (problem,) = read(written(tmp_path, ending, ROWS[preset]), preset=preset).problems
    assert (problem.question, problem.reference) == ("q", REFERENCES[preset])
    layout = PRESETS[preset].columns
    ids = "0" if layout.problem_id is None else str(ROWS[preset][layout.problem_id])
    assert problem.problem_id == ids
    assert problem.subject == (None if layout.subject is None else ROWS[preset][layout.subject])


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize(
    ("answers", "reference"), [(["1,234", "5"], "1234, 5"), (["$69$,$84$"], "$69$,$84$"), (["0.10"], "0.10")]
)
def test_several_answers_keep_their_values(tmp_path: Path, ending: str, answers: list[str], reference: str) -> None:
    row = {"id": 1, "question": "q", "final_answer": answers, "error": None}
    assert read(written(tmp_path, ending, row), preset="olympiadbench").problems[0].reference == reference


@pytest.mark.parametrize(("preset", "column"), [(one, name) for one in ROWS for name in ("question", "reference")])
def test_each_column_of_a_preset_gives_way_alone(tmp_path: Path, preset: str, column: str) -> None:
    own = dict(ROWS[preset]) | {"mine": "Because.\n#### 9" if preset == "gsm8k" else "9"}
    source = FileSource(source="file", path=written(tmp_path, "jsonl", own), preset=preset, columns={column: "mine"})
    kept = PRESETS[preset].columns.model_dump() | {column: "mine"}
    assert source.layout == Columns.model_validate(kept)
    (problem,) = load_problems(source).problems
    question, reference = ("q", "9") if column == "reference" else (own["mine"], REFERENCES[preset])
    assert (problem.question, problem.reference) == (question, reference)


@pytest.mark.parametrize(
    ("name", "preset", "count"),
    [
        ("aime25", "aime25", 30),
        ("comp_math_24_25_aime24_aime25_hmmt2425", "hmmt", 256),
        ("olympiadbench_text_en_675", "olympiadbench", 675),
        ("math_perturb_hard", "math_perturb", 279),
    ],
)
def test_presets_read_the_published_files(name: str, preset: str, count: int) -> None:
    path = MATH_DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    problems = read(path, preset=preset).problems
    assert len(problems) == len({problem.problem_key for problem in problems}) == count
    published = PUBLISHED[preset].files  # type: ignore[index]
    of_preset = [one for one in problems if preset != "hmmt" or one.subject == "hmmt-24-25"]
    assert published is not None and len(of_preset) == published.problems
    assert [one.fields["tolerance"] for one in problems if one.fields.get("tolerance")] == (
        ["1e-1"] if preset == "olympiadbench" else []
    )


GRADED = [
    ("1e-1", "4.2", "4.16", "equal"),
    ("1e-1", "4.2", "4.3", "equal"),
    ("1e-1", "4.2", "4.31", "different"),
    ("1e-1", "4.2", "4.16\\%", "equal"),
    (0.1, "4.2", "\\frac{42}{10}", "equal"),
    (0.1, "4.2", "\\frac{43}{10}", "different"),
    ("", "4.2", "4.16", "different"),
    (None, "4.2", "4.16", "different"),
]


@pytest.mark.parametrize(("tolerance", "reference", "answer", "verdict"), GRADED)
def test_a_tolerance_of_the_data_counts(tolerance: Any, reference: str, answer: str, verdict: str) -> None:
    problem = Problem("key", "id", "q", reference, fields={"tolerance": tolerance})
    with Mathematics().judge(5.0) as judge:
        (found,) = judge.grade(problem, [answer])
    assert found.verdict == verdict


def test_a_tolerance_is_in_the_key_of_grades_and_without_one_nothing_is(tmp_path: Path) -> None:
    row = {"id": 1, "question": "q", "final_answer": "4.2"}
    names = []
    for error in ({}, {"error": None}, {"error": "1e-1"}, {"error": "1e-2"}):
        found = read(written(tmp_path, "jsonl", row | error), preset="olympiadbench")
        names.append(found.name)
    assert names[0] == names[1] and len(set(names)) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"error": "a bit"}, "the tolerance 'a bit' is not a number from 0"),
        ({"error": "-0.1"}, "the tolerance '-0.1' is not a number"),
        ({"error": True}, "the tolerance True is not a number"),
        ({"final_answer": "\\pi"}, r"the reference '\\\\pi' is not one number in digits: write it so, or take"),
        ({"final_answer": ["1", "2"]}, "the reference '1, 2' is not one number in digits"),
    ],
)
def test_a_tolerance_that_cannot_be_graded_by_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = written(tmp_path, "jsonl", ROWS["olympiadbench"] | change)
    with pytest.raises(ProblemError, match=f"row 1: .*{told}"):
        read(path, preset="olympiadbench")


def test_every_preset_is_a_name_that_recipes_take_and_has_its_facts() -> None:
    assert set(get_args(PresetName)) == set(PRESETS) == set(PUBLISHED)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_the_hub_as_it_is_listed_is_a_source(preset: PresetName) -> None:
    hub = PUBLISHED[preset].hub
    if hub is None:
        assert PUBLISHED[preset].files is not None
        return
    place = {"dataset": hub.dataset, "revision": hub.revision, "split": hub.split, "config": hub.config}
    source = HubSource.model_validate(
        {"source": "hub", "preset": preset, "columns": dict(hub.columns) or None, **place}
    )
    assert source.layout.model_dump() == PRESETS[preset].columns.model_dump() | dict(hub.columns)
    assert hub.revision == "main" or len(hub.revision) == 40


def test_datasets_lists_every_preset_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "NO_TERMINAL_WIDTH", 80)
    listed = CliRunner().invoke(app, ["datasets"])
    lines = listed.stdout.splitlines()
    assert listed.exit_code == 0 and max(map(len, lines)) <= 80 and "…" not in listed.stdout
    for preset in PRESETS:
        assert len([line for line in lines if line.startswith(f"│ {preset} ")]) == 2
    (minerva, _) = (line.split("│")[1:-1] for line in lines if "│ minerva " in line)
    assert [cell.strip() for cell in minerva][:4] == ["minerva", "math", "272", "unknown"]


def test_datasets_as_json_has_all_that_is_known() -> None:
    listed = CliRunner().invoke(app, ["datasets", "--format", "json"])
    found = {one["preset"]: one for one in json.loads(listed.stdout)}
    assert list(found) == list(PRESETS)
    assert found["gsm8k"]["hub"]["revision"] == "740312add88f781978c0658806c59bc2815b9866"
    assert found["olympiadbench"]["columns"]["tolerance"] == "error"
    assert (found["minerva"]["files"], found["minerva"]["hub"]["licence"]) == (None, None)
