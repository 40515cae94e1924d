"""Solutions whose first wrong step is known: both published layouts, chains with a slip, and bad rows."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED_DATA
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from overthink.tasks.datasets.chains import generate_chains, right_steps, slipped_steps
from overthink.tasks.datasets.labelled import LabelledSet, SolutionFile, SolutionFormat, SolutionSource, load_solutions
from overthink.tasks.datasets.sources import ChainsSource
from overthink.tasks.errors import ProblemError

PRMBENCH = {
    "idx": "p1",
    "original_question": "1+1+1?",
    "modified_question": "What is 1+1+1?",
    "original_process": ["1+1=2", " 2+1=3 "],
    "modified_process": ["1+1=2", "2+1=4", "So 4."],
    "error_steps": [3, 2],
}
PROCESSBENCH = {"id": "gsm8k-0", "problem": "1+1+1?", "steps": ["1+1=2", "2+1=4"], "label": 1}


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, layout: SolutionFormat, skip_bad_rows: bool = False, **settings: Any) -> LabelledSet:
    return load_solutions(SolutionFile(source="file", path=path, format=layout, **settings), skip_bad_rows)


def chains(**settings: Any) -> LabelledSet:
    return load_solutions(ChainsSource(source="chains", **settings))


def test_a_row_of_prmbench_is_a_right_and_a_wrong_solution(tmp_path: Path) -> None:
    found = read(written(tmp_path / "p.jsonl", PRMBENCH), "prmbench")
    assert [(one.question, one.steps, one.first_wrong) for one in found.solutions] == [
        ("1+1+1?", ("1+1=2", "2+1=3"), None),
        ("What is 1+1+1?", ("1+1=2", "2+1=4", "So 4."), 1),
    ]
    assert all(one.solution_id.startswith("p1-") for one in found.solutions)


def test_a_row_of_prmbench_without_wrong_steps_is_two_right_solutions(tmp_path: Path) -> None:
    found = read(written(tmp_path / "p.jsonl", PRMBENCH | {"error_steps": []}), "prmbench")
    assert [one.first_wrong for one in found.solutions] == [None, None]


def test_a_right_solution_that_stands_in_several_rows_counts_once(tmp_path: Path) -> None:
    other = PRMBENCH | {"modified_process": ["1+1=3"], "error_steps": [1]}
    found = read(written(tmp_path / "p.jsonl", PRMBENCH, other), "prmbench")
    assert [one.first_wrong for one in found.solutions] == [None, 1, 0]


@pytest.mark.parametrize(("label", "first_wrong"), [(-1, None), (0, 0), (1, 1)])
def test_a_row_of_processbench(tmp_path: Path, label: int, first_wrong: int | None) -> None:
    (found,) = read(written(tmp_path / "p.jsonl", PROCESSBENCH | {"label": label}), "processbench").solutions
    assert (found.question, found.steps, found.first_wrong) == ("1+1+1?", ("1+1=2", "2+1=4"), first_wrong)


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != field}


BAD_ROWS: dict[str, tuple[SolutionFormat, Any, str]] = {
    "no labels": ("prmbench", without(PRMBENCH, "error_steps"), "field 'error_steps' is missing"),
    "null labels": ("prmbench", PRMBENCH | {"error_steps": None}, "field 'error_steps' is null"),
    "step beyond": ("prmbench", PRMBENCH | {"error_steps": [2, 4]}, "'error_steps' names step 4, but steps are 1 to 3"),
    "step 0": ("prmbench", PRMBENCH | {"error_steps": [0]}, "'error_steps' names step 0, but steps are 1 to 3"),
    "half a step": ("prmbench", PRMBENCH | {"error_steps": [1.5]}, "'error_steps' holds 1.5, not the number of a step"),
    "a number": ("prmbench", PRMBENCH | {"error_steps": 2}, "field 'error_steps' is a int, not a list"),
    "no steps": ("prmbench", PRMBENCH | {"original_process": []}, "field 'original_process' has no steps"),
    "one text": ("prmbench", PRMBENCH | {"modified_process": "1+1=2"}, "field 'modified_process' is a str, not a list"),
    "empty step": ("processbench", PROCESSBENCH | {"steps": ["1", " "], "label": 0}, "field 'steps.1' is empty"),
    "list as step": ("processbench", PROCESSBENCH | {"steps": ["1", []]}, "field 'steps.1' is a list, not text"),
    "label beyond": ("processbench", PROCESSBENCH | {"label": 2}, "field 'label' names step 2, but steps are -1 to 1"),
    "label -2": ("processbench", PROCESSBENCH | {"label": -2}, "field 'label' names step -2"),
    "label true": ("processbench", PROCESSBENCH | {"label": True}, "field 'label' holds True"),
    "no label": ("processbench", without(PROCESSBENCH, "label"), "field 'label' is missing"),
    "other layout": ("processbench", PRMBENCH, "field 'id' is missing (fields there: idx, original_question"),
    "no object": ("processbench", [1], "not a JSON object"),
}


@pytest.mark.parametrize(("layout", "row", "complaint"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_told_with_file_row_and_field(
    tmp_path: Path, layout: SolutionFormat, row: Any, complaint: str
) -> None:
    good = PRMBENCH if layout == "prmbench" else PROCESSBENCH
    path = written(tmp_path / "p.jsonl", good, row)
    with pytest.raises(ProblemError, match=re.escape(f"{path}, row 2: ") + ".*" + re.escape(complaint)) as caught:
        read(path, layout)
    assert "--skip-bad-rows" in str(caught.value)
    skipped = read(path, layout, skip_bad_rows=True)
    assert skipped.solutions == read(written(tmp_path / "good.jsonl", good), layout).solutions
    assert len(skipped.dropped) == 1 and complaint in skipped.dropped[0]


def test_a_missing_file_is_told_with_the_key_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"none\.jsonl: cannot be read .*check `solutions\.path`"):
        read(tmp_path / "none.jsonl", "prmbench")


def test_a_file_without_usable_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="no usable solution"):
        read(written(tmp_path / "p.jsonl", {}), "prmbench", skip_bad_rows=True)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="'prmbench' or 'processbench'"):
        TypeAdapter(SolutionSource).validate_python({"source": "file", "path": "x.jsonl", "format": "gsm8k"})


def test_a_limit_counts_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = written(tmp_path / "p.jsonl", PRMBENCH, {})
    assert len(read(path, "prmbench", limit=1).solutions) == 2


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [PROCESSBENCH, PROCESSBENCH | {"label": 7}])
    source = {"source": "hub", "dataset": "Qwen/ProcessBench", "revision": "main", "split": "gsm8k"}
    checked = TypeAdapter(SolutionSource).validate_python(source | {"format": "processbench"})
    with pytest.raises(ProblemError, match=re.escape("Qwen/ProcessBench (gsm8k), row 2: field 'label' names step 7")):
        load_solutions(checked)


def test_the_real_prmbench() -> None:
    path = SHARED_DATA / "prmbench_subset400.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with pytest.raises(ProblemError, match="row 28: field 'error_steps' names step 54, but steps are 1 to 53"):
        read(path, "prmbench")
    found = read(path, "prmbench", skip_bad_rows=True)
    assert len(found.dropped) == 11
    wrong = [one for one in found.solutions if one.first_wrong is not None]
    # 384 rows of eight classes have wrong steps, 10 of class multi_solutions have none.
    assert len(wrong) == 394 - 10 - 11
    assert len({one.solution_id for one in found.solutions}) == len(found.solutions) == len(wrong) + 296


def test_each_chain_is_solved_rightly_and_wrongly() -> None:
    found = chains(count=24).solutions
    assert len(found) == 48
    for right, wrong in zip(found[::2], found[1::2], strict=True):
        assert right.question == wrong.question and len(right.steps) == len(wrong.steps)
        assert right.first_wrong is None and wrong.first_wrong is not None
        assert right.steps[: wrong.first_wrong] == wrong.steps[: wrong.first_wrong]
        assert right.steps[wrong.first_wrong] != wrong.steps[wrong.first_wrong]
        assert right.steps[-1] != wrong.steps[-1]


@given(st.integers(1, 12), st.integers(0, 2**32))
def test_a_slip_is_the_first_wrong_step_and_the_rest_follows_from_it(length: int, seed: int) -> None:
    (chain,) = generate_chains("test", 1, length, length, seed % 100)
    steps, place = slipped_steps(chain, random.Random(seed))
    assert right_steps(chain, steps) == [index < place for index in range(length + 1)]
    value = str(chain.start)
    for index, step in enumerate(steps[:-1]):
        claim, _, result = step.partition("=")
        assert claim == f"{value}{chain.operations[index].symbol}{chain.operations[index].operand}"
        assert (eval(claim) == int(result)) == (index != place)
        value = result
    assert steps[-1] == f"\\boxed{{{value}}}"


def test_chains_are_the_same_every_time_and_more_of_them_begin_alike() -> None:
    assert chains(count=10) == chains(count=10)
    assert chains(count=20).solutions[:20] == chains(count=10).solutions
    assert chains(count=10, seed=1) != chains(count=10)


def test_an_id_stands_for_all_of_a_solution() -> None:
    solutions = chains(count=30).solutions
    assert len({one.solution_id for one in solutions}) == len({one.problem.problem_key for one in solutions}) == 60
