"""Programs that are imported, run and chosen among: a whole command, with the sandbox."""

from pathlib import Path
from typing import Any

import pytest
import sandboxes
from commanding import overthink
from test_importers import write_lines

from overthink.storage.sql import query
from overthink.storage.store import Store

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.skipif(sandboxes.lack() != "", reason="no sandbox holds on this machine"),
]
MAPPED = ("question", "reference", "text", "entry_point", "public_tests", "generated_tests")
TESTED = {
    "question": "def double(n):\n",
    "entry_point": "double",
    "reference": "assert double(3) == 6\nassert double(0) == 0\n",
    "public_tests": ["assert double(2) == 4"],
    "generated_tests": [
        "assert double(2) == 4",
        "assert double(0) == 0",
        "assert double(1) == 2",
        "assert double(3) == 9",
    ],
}
UNTESTED = {
    "question": "def next(n):\n",
    "entry_point": "next",
    "reference": "assert next(3) == 4\n",
    "public_tests": None,
    "generated_tests": None,
}
ROWS = [
    *(TESTED | {"text": f"    return {made}\n"} for made in ("n + 2", "n * 2", "n + n", "3 * n")),
    *(UNTESTED | {"text": f"    return {made}\n"} for made in ("n", "n + 1", "n + 1", "n - 1")),
]


def words(folder: Path, *rows: dict[str, Any]) -> list[Any]:
    path = write_lines(folder / "programs.jsonl", *rows)
    mapped = [word for name in MAPPED for word in ("--map", f"{name}={name}")]
    return ["import", "jsonl", path, "--domain", "code", "--independent", "--store", folder / "store", *mapped]


def test_each_selector_of_programs_chooses_by_what_the_sandbox_found(tmp_path: Path) -> None:
    done = overthink(*words(tmp_path, *ROWS), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    assert "oracle of independent programs is pass@n, unbiased" in " ".join(done.stdout.split())
    found = query(
        Store(tmp_path / "store"),
        "SELECT selector, list_sort(list(c.correct)) AS right, any_value(s.accuracy) AS accuracy FROM selections c "
        "JOIN summary s USING (run_id, method_id, selector, n) WHERE n = 4 GROUP BY ALL",
    ).to_pylist()
    rights = {row["selector"]: (row["right"], row["accuracy"]) for row in found}
    assert rights == {
        "majority": ([False, True], 0.5),
        "tests_max": ([False, False], 0.0),
        "tests_vote": ([False, True], 0.5),
        "behaviour_vote": ([True, True], 1.0),
        "codet": ([False, True], 0.5),
        "oracle": ([True, True], 1.0),
    }
    spent = "SELECT DISTINCT policy_tokens, prm_tokens, flops, cpu_seconds > 0 AS ran FROM summary"
    unknown = {"policy_tokens": None, "prm_tokens": None, "flops": None}
    assert query(Store(tmp_path / "store"), spent).to_pylist() == [unknown | {"ran": True}]


def test_without_tests_their_selectors_are_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    done = overthink(*words(tmp_path, *ROWS[4:]), COLUMNS="400")
    assert done.returncode == 0, done.stderr
    found = query(Store(tmp_path / "store"), "SELECT DISTINCT selector FROM summary ORDER BY ALL").to_pylist()
    assert found == [{"selector": "majority"}, {"selector": "oracle"}]
    assert "no choice by tests_max, tests_vote: not all its rollouts hold results of public tests, which" in done.stdout
