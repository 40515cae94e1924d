"""The command as its users meet it: exit codes, one-line errors, output formats."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commanding import overthink
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.tasks.stages.progress import terminal

pytestmark = pytest.mark.usefixtures("address")

COMMAND = Path(sys.executable).parent / "overthink"


@pytest.fixture(scope="module")
def store(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a finished `overthink run smoke`, made by a process, with what it printed beside it."""
    folder = tmp_path_factory.mktemp("smoke")
    environment = os.environ | {"PREFECT_API_URL": prefect_server}
    with (folder / "out").open("w") as output, (folder / "err").open("w") as errors:
        words = [COMMAND, "run", "smoke", "--store", folder / "store"]
        subprocess.run(words, check=True, stdout=output, stderr=errors, env=environment)
    return folder / "store"


def test_version_and_recipes() -> None:
    assert overthink("--version").stdout.startswith("overthink ")
    listed = overthink("recipes").stdout
    assert all(name in listed for name in ("demo", "smoke", "math500"))


def test_a_run_prints_its_table_and_nothing_of_the_engines(store: Path) -> None:
    printed = store.with_name("out").read_text()
    assert "prm_last_vote" in printed
    assert store.with_name("err").read_text() == ""
    assert "INFO" not in printed


def test_a_finished_run_is_only_reported(store: Path) -> None:
    result = overthink("run", "smoke", "--store", str(store))
    assert result.returncode == 0
    assert "greedy" in result.stdout
    assert re.match(r"smoke-\w+: complete since [-: \d]{16} UTC, nothing to do\n", result.stdout)
    assert "run smoke" not in result.stdout, "nothing was started"


def test_report_by_the_beginning_of_the_name(store: Path) -> None:
    assert "majority" in overthink("report", "smo", "--store", str(store)).stdout


def test_report_as_a_picture(store: Path, tmp_path: Path) -> None:
    assert overthink("report", "smoke", "--store", str(store), "--svg", str(tmp_path / "a.svg")).returncode == 0
    assert "majority" in (tmp_path / "a.svg").read_text()


def test_status(store: Path) -> None:
    assert "complete" in overthink("status", "--store", str(store)).stdout


def test_sql_in_every_format(store: Path) -> None:
    sql = "SELECT method_id, count(*) AS rollouts FROM rollouts GROUP BY 1 ORDER BY 1"
    expected = [("best_of_n-n16", 192), ("cot", 12)]
    table = overthink("sql", sql, "--store", str(store)).stdout
    assert "best_of_n-n16" in table and "192" in table
    text = overthink("sql", sql, "--store", str(store), "--format", "csv").stdout
    assert [(row["method_id"], int(row["rollouts"])) for row in csv.DictReader(io.StringIO(text))] == expected
    value = json.loads(overthink("sql", sql, "--store", str(store), "--format", "json").stdout)
    assert [(row["method_id"], row["rollouts"]) for row in value] == expected
    arguments = [COMMAND, "sql", sql, "--store", str(store), "--format", "parquet"]
    raw = subprocess.run(arguments, capture_output=True, check=True).stdout
    assert pq.read_table(io.BytesIO(raw)).num_rows == 2


MISTAKES = {
    "no such recipe": (["run", "nonsense"], "there is no recipe 'nonsense'"),
    "unknown key": (["run", "smoke", "--set", "polcy.model=x"], "polcy: unknown key"),
    "budget over n": (["run", "smoke", "--set", "budgets=[99]"], "budget 99 is more than the 16 rollouts"),
    "missing file": (["run", "smoke", "--set", "problems={source: file, path: no.jsonl}"], "no.jsonl: cannot be read"),
    "missing model": (["run", "demo", "--set", "policy.model=zoo/abacus-9b"], "the zoo holds no model 'abacus-9b'"),
    "too long a prompt": (["run", "demo", "--set", "policy.max_model_len=40"], "its prompt has"),
    "no store": (["status", "--store", "nowhere"], "there is no store at nowhere"),
    "no run": (["report", "nothing", "--store", "."], "holds no run yet: make one with `overthink run`"),
    "two statements": (["sql", "SELECT 1; SELECT 2", "--store", "."], "one SELECT at a time"),
    "writing": (["sql", "COPY (SELECT 1) TO 'x.csv'", "--store", "."], "the store is read only here"),
    "reading": (["sql", "SELECT * FROM read_csv('/etc/passwd')", "--store", "."], "read_csv is not allowed"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_without_traceback_and_exit_code_2(name: str, tmp_path: Path) -> None:
    words, message = MISTAKES[name]
    (tmp_path / "runs").mkdir()  # an empty store
    result = overthink(*words, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_failed_run_exits_1_and_says_what_is_safe(tmp_path: Path) -> None:
    text = "\\boxed{1}"
    problems = tmp_path / "p.jsonl"
    problems.write_text('{"question": "q", "answer": "1"}\n')
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"policy": {"q": {"": [text]}}, "prm": {"q": {text: [0.5, 0.5]}}}))
    engine = f"{{engine: scripted, script: {script}}}"
    changes = [f"problems={{source: file, path: {problems}}}", f"policy={engine}", f"prm={engine}"]
    words = [word for change in changes for word in ("--set", change)]
    result = overthink("run", "smoke", *words, "--store", str(tmp_path / "store"))
    assert result.returncode == 1
    assert "gave 2 scores for 1 steps of problem 0" in result.stdout
    assert "Run the same command again" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_command_leaves_no_screen_behind(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", "smoke", "--set", "problems.count=2", "--store", str(tmp_path / "store")])
    assert result.exit_code == 0
    assert terminal.get() is None
