"""Methods, selectors and domains of other packages: found, run end to end, in the keys, and refused in one message."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import commanding
import pytest
import yaml
from installed import EXAMPLE, distribution, install_example, installed_here, overthink
from pydantic import TypeAdapter
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.selectors import SelectorName
from overthink.tasks.domains.known_domains import DomainName
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.methods import AnyMethod

RECIPE: dict[str, Any] = {
    "name": "extended",
    "problems": {"source": "chains", "count": 4},
    "policy": {"engine": "fake"},
    "prm": {"engine": "fake"},
    "methods": [{"method": "two_temperatures", "n": 4}, {"method": "best_of_n", "n": 4}],
    "budgets": [1, 2, 4],
    "selectors": ["majority", "prm_median_vote", "least_entropy"],
}


def recipe(folder: Path, **changes: Any) -> str:
    path = folder / "extended.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return str(path)


def ran(site: Path, folder: Path, *words: str, **changes: Any) -> str:
    result = overthink(site, "run", recipe(folder, **changes), "--store", str(folder / "store"), *words)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def told(*words: str, sites: Sequence[Path] = ()) -> "subprocess.CompletedProcess[str]":
    """What the command says in this process, where some folders are installed."""
    with installed_here(*sites):
        return commanding.overthink(*words, COLUMNS="200")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install_example(folder)
    return folder


def test_each_is_one_file_of_at_most_forty_lines() -> None:
    files = sorted((EXAMPLE / "overthink_example").glob("[a-z]*.py"))
    assert {path.name: len(path.read_text().splitlines()) <= 40 for path in files} == {
        "fermi.py": True,
        "least_entropy.py": True,
        "median_vote.py": True,
        "two_temperatures.py": True,
    }


def test_an_example_package_runs_end_to_end(site: Path, tmp_path: Path) -> None:
    assert "prm_median_vote" in ran(site, tmp_path)
    store = str(tmp_path / "store")
    sql = "SELECT method_id, selector, n, prm_tokens FROM summary ORDER BY ALL"
    summary = json.loads(told("sql", sql, "--format", "json", "--store", store).stdout)
    by_selector = {row["selector"]: row["prm_tokens"] for row in summary if row["method_id"] == "two_temperatures-n4"}
    assert by_selector["majority"] == by_selector["least_entropy"] == 0 < by_selector["prm_median_vote"]
    sql = """SELECT bool_and(answer = least) AS same FROM selections JOIN (
        SELECT method_id, problem_id, arg_min(answer, entropy_mean) AS least FROM rollouts WHERE answer IS NOT NULL
        GROUP BY ALL) USING (method_id, problem_id) WHERE selector = 'least_entropy' AND n = 4"""
    assert json.loads(told("sql", sql, "--format", "json", "--store", store).stdout) == [{"same": True}]
    assert [row["n"] for row in summary if row["method_id"] == "best_of_n-n4" and row["selector"] == "majority"] == [
        1,
        2,
        4,
    ]
    report = told("report", "extended", "--store", store, sites=[site])
    assert report.returncode == 0 and "two_temperatures-n4" in report.stdout
    words = ("extended", "extended", "--selector", "prm_median_vote", "--store", store)
    compared = overthink(site, "compare", *words)  # a selector must be there from the start
    assert (compared.returncode, compared.stderr) == (0, "") and "prm_median_vote" in compared.stdout
    without = told("report", "extended", "--store", store)
    assert (without.returncode, without.stdout) == (0, report.stdout), "a finished run needs no code of theirs"


ESTIMATES = {"domain": "fermi", "name": "estimates", "methods": [{"method": "best_of_n", "n": 4}]}
VERDICTS = """SELECT answer, answer_key, correct, detail, grader, grader_version
    FROM rollouts JOIN grades USING (rollout_id) WHERE starts_with(run_id, 'estimates') AND starts_with(grader, 'fermi')
    GROUP BY ALL ORDER BY ALL"""


@pytest.fixture
def estimated(site: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The folder of a store with the same rollouts as estimates and as sums; read only."""

    def fill(folder: Path) -> None:
        problems = folder / "estimates.jsonl"
        problems.write_text("".join(f'{{"question": "How many: {n}?", "answer": "8"}}\n' for n in range(6)))
        source = {"source": "file", "path": str(problems)}
        ran(site, folder, problems=source, **ESTIMATES)
        ran(site, folder, problems=source, **(ESTIMATES | {"domain": "math", "name": "sums"}))

    return made_once("estimated", fill)


def test_a_domain_grades_and_groups_end_to_end(estimated: Path) -> None:
    def found(statement: str) -> Any:
        return query(Store(estimated / "store"), statement).to_pylist()

    graded = found(VERDICTS)
    assert {row["answer"]: (row["answer_key"], row["correct"], row["detail"]) for row in graded} == {
        "0": ("0", None, "zero has no magnitude"),
        "1": ("1e0", True, "equals the reference"),
        "2": ("1e0", True, "equals the reference"),
    }
    assert {(row["grader"], row["grader_version"]) for row in graded} == {("fermi (boxed)", 1)}
    joined = (
        "SELECT DISTINCT answer FROM rollouts JOIN groups USING (rollout_id) WHERE answer_group = '1e0' ORDER BY ALL"
    )
    assert found(joined) == [{"answer": "1"}, {"answer": "2"}], "they vote together"
    # The same rollouts as mathematics: sampled once, graded apart, and told apart.
    assert found("SELECT count(DISTINCT call_key) AS n FROM calls WHERE kind = 'generate'") == [{"n": 24}]
    assert found("SELECT domain, count(*) AS n FROM problems GROUP BY ALL ORDER BY ALL") == [
        {"domain": "estimates", "n": 6},  # of mathematics the set
        {"domain": "fermi", "n": 6},
    ]


def test_without_its_package_a_domain_is_told_and_a_finished_run_reported(
    site: Path, estimated: Path, tmp_path: Path
) -> None:
    words = ("--store", str(estimated / "store"))
    there = told("report", "estimates", *words, sites=[site])
    assert there.returncode == 0 and told("report", "estimates", *words).stdout == there.stdout
    assert told("compare", "sums", "estimates", *words, sites=[site]).returncode == 0
    for command in (("run", recipe(tmp_path, **ESTIMATES)), ("compare", "sums", "estimates")):
        result = told(*command, *words)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert "there is no domain 'fermi': name one of math, choice, " in result.stderr


KEYS = """
import sys
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.recipes.loading import read_recipe
from pathlib import Path
recipe = read_recipe(Path(sys.argv[1]))
plan = plan_evaluation(recipe, load_problems(recipe.problems))
print(*(f"{use.method_id} {use.key}" for use in plan.uses()), sep="\\n")
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
    methods = [{"method": "best_of_n", "n": 4}, {"method": "adaptive", "n": 4}, {"method": "dvts", "n": 4}]
    path = recipe(tmp_path, domain="fermi", methods=methods, selectors=["majority"])
    changed = {key.rpartition("-")[0] for key in keys(later, path) - keys(site, path)}
    graded = {f"{method} {kind}" for method in ("best_of_n-n4", "adaptive-n4", "dvts-n4-m4") for kind in made[2:]}
    assert changed == graded | {"adaptive-n4 sample", "adaptive-n4 score", "dvts-n4-m4 search"}


NAMED = """
import sys
from overthink.tasks.recipes.loading import read_runs
from pathlib import Path
for recipe in read_runs(Path(sys.argv[1]), sys.argv[2:]):
    print(recipe.domain, recipe.policy.domain, recipe.problems.source)
"""


def test_a_preset_names_the_domain_of_its_rows_and_a_recipe_goes_first(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    rows = {"source": "file", "path": "rows.jsonl", "preset": {"columns": {}, "domain": "fermi"}}
    served = {"engine": "openai", "model": "m", "endpoints": ["http://127.0.0.1:1/v1"]}
    grid = {"problems": [rows, RECIPE["problems"]], "policies": [served], "methods": [{"method": "cot"}]}
    path.write_text(yaml.safe_dump({"name": "swept", "budgets": [1], **grid}))
    environment = os.environ | {"PYTHONPATH": str(site)}

    def named(*changes: str) -> list[str]:
        words = [sys.executable, "-c", NAMED, str(path), *changes]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()

    assert named() == ["fermi fermi file", "math math chains"]
    assert named("domain=math") == ["math math file", "math math chains"]
    assert named("domain=fermi") == ["fermi fermi file", "fermi fermi chains"]


@pytest.fixture
def here(site: Path, tmp_path: Path) -> Iterator[Path]:
    """The example, and a folder for others, installed in this process."""
    with installed_here(site, tmp_path):
        yield tmp_path


def test_they_are_listed(here: Path) -> None:
    listed = CliRunner().invoke(app, ["plugins"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    selectors = [("prm_median_vote", "selector"), ("least_entropy", "selector")]
    for name, kind in (*selectors, ("two_temperatures", "method"), ("fermi", "domain")):
        (row,) = [line for line in listed.stdout.splitlines() if name in line]
        assert "overthink-example" in row and "1.2" in row and kind in row
    assert [line for line in listed.stdout.splitlines() if "math" in line and "built in" in line and "domain" in line]


NAMING: dict[str, Callable[[str], Any]] = {
    "methods": lambda name: TypeAdapter(AnyMethod).validate_python({"method": name, "n": 4}),
    "selectors": lambda name: TypeAdapter(SelectorName).validate_python(name),
    "domains": lambda name: TypeAdapter(DomainName).validate_python(name),
}
BROKEN = {
    "broken": ("methods", "broken", "nowhere:Method", "ModuleNotFoundError"),
    "rival": ("methods", "two_temperatures", "overthink_example.median_vote:MEDIAN_VOTE", "overthink-example"),
    "ours": ("methods", "cot", "overthink_example.two_temperatures:TwoTemperatures", "overthink too"),
    "named": ("methods", "named", "overthink_example.two_temperatures:TwoTemperatures", "itself 'two_temperatures'"),
    "dashed": ("methods", "a-b", "overthink_example.two_temperatures:TwoTemperatures", "small letters"),
    "wrong": ("selectors", "wrong", "overthink_example.two_temperatures:TwoTemperatures", "is no Selector"),
    "no_domain": ("domains", "wrong", "overthink_example.median_vote:MEDIAN_VOTE", "is no Domain"),
    "no_object": ("domains", "fermi2", "overthink_example.fermi:Fermi", "an object of it is wanted"),
    "misnamed": ("domains", "quick", "overthink_example.fermi:FERMI", "names itself 'fermi'"),
    "mathematics": ("domains", "math", "overthink_example.fermi:FERMI", "overthink too"),
    "theirs": ("selectors", "majority", "overthink_example.median_vote:MEDIAN_VOTE", "overthink too"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_or_clashes_is_one_message_that_names_the_distribution(name: str, here: Path) -> None:
    group, taken, place, told = BROKEN[name]
    distribution(here, f"other-{name}", "0.3", {f"overthink.{group}": {taken: place}})
    with pytest.raises(UserError, match=f"other-{name}.*{told}|{told}.*other-{name}"):
        NAMING[group](taken)
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
    assert len(shown) == 7
    assert [path.name for path in shown if f"\n{path.read_text().rstrip()}\n```" not in page] == []
