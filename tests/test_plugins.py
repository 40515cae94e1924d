"""Methods and selectors of other packages: found, run end to end, in the keys, and refused in one message."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import EXAMPLE, distribution, install_example, overthink
from pydantic import TypeAdapter
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.errors import UserError
from overthink.tasks.plugins import installed
from overthink.tasks.recipes.methods import AnyMethod

pytestmark = pytest.mark.usefixtures("address")

RECIPE: dict[str, Any] = {
    "name": "extended",
    "problems": {"source": "chains", "count": 4},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "two_temperatures", "n": 4}, {"method": "best_of_n", "n": 4}],
    "budgets": [1, 2, 4],
    "selectors": ["majority", "prm_median_vote"],
}


def recipe(folder: Path, **changes: Any) -> str:
    path = folder / "extended.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return str(path)


def ran(site: Path, folder: Path, *words: str, **changes: Any) -> str:
    result = overthink(site, "run", recipe(folder, **changes), "--store", str(folder / "store"), *words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def sql(site: Path, folder: Path, statement: str) -> Any:
    result = overthink(site, "sql", statement, "--format", "json", "--store", str(folder / "store"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install_example(folder)
    return folder


def test_each_is_one_file_of_at_most_forty_lines() -> None:
    files = sorted((EXAMPLE / "overthink_example").glob("[a-z]*.py"))
    assert {path.name: len(path.read_text().splitlines()) <= 40 for path in files} == {
        "median_vote.py": True,
        "two_temperatures.py": True,
    }


def test_an_example_package_runs_end_to_end(site: Path, tmp_path: Path) -> None:
    assert "prm_median_vote" in ran(site, tmp_path)
    summary = sql(site, tmp_path, "SELECT method_id, selector, n, prm_tokens FROM summary ORDER BY ALL")
    by_selector = {row["selector"]: row["prm_tokens"] for row in summary if row["method_id"] == "two_temperatures-n4"}
    assert by_selector["majority"] == 0 and by_selector["prm_median_vote"] > 0
    assert [row["n"] for row in summary if row["method_id"] == "best_of_n-n4" and row["selector"] == "majority"] == [
        1,
        2,
        4,
    ]
    report = overthink(site, "report", "extended", "--store", str(tmp_path / "store"))
    assert report.returncode == 0 and "two_temperatures-n4" in report.stdout
    words = ("extended", "extended", "--selector", "prm_median_vote", "--store", str(tmp_path / "store"))
    compared = overthink(site, "compare", *words)
    assert (compared.returncode, compared.stderr) == (0, "") and "prm_median_vote" in compared.stdout
    without = overthink(tmp_path / "nothing", "report", "extended", "--store", str(tmp_path / "store"))
    assert (without.returncode, without.stdout) == (0, report.stdout), "a finished run needs no code of theirs"


KEYS = """
import sys
from overthink.tasks.datasets.sources import load_problems
from overthink.tasks.plan.run_plan import make_plan
from overthink.tasks.recipes.loading import read_recipe
from pathlib import Path
recipe = read_recipe(Path(sys.argv[1]))
print(*(f"{use.method_id} {use.key}" for use in make_plan(recipe, load_problems(recipe.problems)).uses()), sep="\\n")
"""


def keys(site: Path, path: str) -> set[str]:
    environment = os.environ | {"PYTHONPATH": str(site)}
    words = [sys.executable, "-c", KEYS, path]
    return {*subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()}


def test_the_release_is_in_the_keys_of_what_is_computed_by_it(site: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    shutil.copytree(site, later)
    (info,) = later.glob("*.dist-info")
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("1.2", "1.3"))
    path = recipe(tmp_path)
    changed = {key.rpartition("-")[0] for key in keys(later, path) - keys(site, path)}
    made = ("sample", "score", "grade", "select")
    assert changed == {*(f"two_temperatures-n4 {kind}" for kind in made), "best_of_n-n4 select"}


@pytest.fixture
def here(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example, and a folder for others, installed in this process."""
    for folder in (site, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    installed.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    installed.cache_clear()


def test_they_are_listed(here: Path) -> None:
    listed = CliRunner().invoke(app, ["plugins"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    (row,) = [line for line in listed.stdout.splitlines() if "prm_median_vote" in line]
    assert "overthink-example" in row and "1.2" in row and "selector" in row


BROKEN = {
    "broken": ("methods", "broken", "nowhere:Method", "ModuleNotFoundError"),
    "rival": ("methods", "two_temperatures", "overthink_example.median_vote:MEDIAN_VOTE", "overthink-example"),
    "ours": ("methods", "cot", "overthink_example.two_temperatures:TwoTemperatures", "overthink too"),
    "named": ("methods", "named", "overthink_example.two_temperatures:TwoTemperatures", "itself 'two_temperatures'"),
    "dashed": ("methods", "a-b", "overthink_example.two_temperatures:TwoTemperatures", "small letters"),
    "wrong": ("selectors", "wrong", "overthink_example.two_temperatures:TwoTemperatures", "is no Selector"),
    "theirs": ("selectors", "majority", "overthink_example.median_vote:MEDIAN_VOTE", "overthink too"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_or_clashes_is_one_message_that_names_the_distribution(name: str, here: Path) -> None:
    group, taken, place, told = BROKEN[name]
    distribution(here, f"other-{name}", "0.3", {f"overthink.{group}": {taken: place}})
    with pytest.raises(UserError, match=f"other-{name}.*{told}|{told}.*other-{name}"):
        if group == "methods":
            TypeAdapter(AnyMethod).validate_python({"method": taken, "n": 4})
        else:
            TypeAdapter(SelectorName).validate_python(taken)
    assert TypeAdapter(AnyMethod).validate_python({"method": "best_of_n", "n": 4}), "what does not ask for it goes on"
    listed = CliRunner().invoke(app, ["plugins"])
    assert listed.exit_code == 2 and f"other-{name}" in listed.stderr and "broken" in listed.stdout


def test_the_page_shows_each_in_full() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "extending.md").read_text()
    shown = [
        EXAMPLE / "pyproject.toml",
        *(EXAMPLE / "overthink_example").glob("[a-z]*.py"),
        *EXAMPLE.glob("data/*.yaml"),
    ]
    assert len(shown) == 5
    assert [path.name for path in shown if f"\n{path.read_text().rstrip()}\n```" not in page] == []
