"""In a terminal of 80 columns no command cuts a name, a figure or an interval."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from own_terminal import BIN, COLUMNS, typed_into

from overthink.storage.sql import query
from overthink.storage.store import Store

RECIPE: dict[str, Any] = {
    "name": "wide",
    "problems": {"source": "chains", "count": 4},
    "policy": {"engine": "fake", "steps": 2},
    "prm": {"engine": "fake"},
    "methods": [{"method": "best_of_n", "n": 16}, {"method": "beam_search", "n": 4}],
    "budgets": [1, 2, 4, 8, 16],
    "selectors": ["majority", "prm_last_max", "prm_min_vote", "oracle"],
}
SWEEP: dict[str, Any] = {
    "name": "grid",
    "problems": [RECIPE["problems"]],
    "policies": [RECIPE["policy"]],
    "prms": [RECIPE["prm"]],
    "methods": [{"method": "best_of_n"}],
    "budgets": [1, 2, 4, 8],
}


def shown(folder: Path, *words: str) -> str:
    """What a terminal shows of a command that ends well; no line of it is cut or too long."""
    code, text = typed_into(folder, "", BIN / "overthink", *words)
    assert code == 0, text
    assert "…" not in text
    tables = [line for line in text.splitlines() if line.startswith(("│", "┃"))]
    assert all(len(line) <= COLUMNS for line in tables)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, the second by a policy that writes more, and a sweep."""
    folder = tmp_path_factory.mktemp("narrow")
    for path, value in (("wide.yaml", RECIPE), ("grid.yaml", SWEEP)):
        (folder / path).write_text(yaml.safe_dump(value))
    (folder / "first.txt").write_text(shown(folder, "run", "wide.yaml"))
    shown(folder, "run", "wide.yaml", "--set", "name=other", "--set", "policy.answers=2")
    (folder / "sweep.txt").write_text(shown(folder, "sweep", "grid.yaml"))
    return folder


def cells(folder: Path, run: str, n: int | None = None) -> list[str]:
    """The accuracies of a run, or those at one budget, with their intervals, as reports write them."""
    shape = "printf('%.1f (%.0f–%.0f)', 100 * accuracy, 100 * ci_low, 100 * ci_high)"
    sql = f"SELECT {shape} AS cell FROM summary WHERE starts_with(run_id, '{run}') AND n = coalesce({n or 'NULL'}, n)"
    return list(query(Store(folder / "store"), sql)["cell"].to_pylist())


def test_run_and_report_show_every_figure(folder: Path) -> None:
    for text in ((folder / "first.txt").read_text(), shown(folder, "report", "wide")):
        for name in (
            "best_of_n-n16",
            "beam_search-n4-m4",
            *RECIPE["selectors"],
            *(f"n = {n}" for n in (1, 2, 4, 8, 16)),
        ):
            assert name in text, name
        assert all(cell in text for cell in cells(folder, "wide"))


def test_status_shows_every_run(folder: Path) -> None:
    text = shown(folder, "status")
    for run in Store(folder / "store").runs():
        assert run.run_id in text and run.problem_set in text and run.created_at[:10] in text
    assert text.count("complete") == 4, "three runs, one of them the sweep's"


def test_sql_shows_every_cell(folder: Path) -> None:
    text = shown(folder, "sql", "SELECT * FROM summary ORDER BY ALL")
    rows = query(Store(folder / "store"), "SELECT * FROM summary").to_pylist()
    assert all(name in text for name in rows[0])
    for row in rows:
        for value in row.values():
            told = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
            assert told in text, told


def test_compare_shows_every_difference(folder: Path) -> None:
    text = shown(folder, "compare", "wide", "other")
    for name in ("best_of_n-n16", "beam_search-n4-m4", *RECIPE["selectors"], "before", "now wrong", "now right"):
        assert name in text, name
    assert text.count(" to ") >= len(cells(folder, "wide")) - 1, "an interval each"


def test_a_sweep_shows_every_cell(folder: Path) -> None:
    text = (folder / "sweep.txt").read_text()
    (run,) = (run for run in Store(folder / "store").runs() if run.name.startswith("grid"))
    for name in (run.run_id, run.problem_set, "best_of_n-n8", "n = 8"):
        assert name in text, name
    by_budget = {n: [cell for cell in cells(folder, run.run_id, n) if cell in text] for n in SWEEP["budgets"]}
    assert all(by_budget.values()), by_budget
