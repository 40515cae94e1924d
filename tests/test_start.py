"""What a command imports before it does anything: its start is what its modules cost."""

import json
import subprocess
import sys

import pytest

# Each of these takes a tenth of a second or more to import, or brings in one that does.
HEAVY = {"pyarrow", "duckdb", "numpy", "scipy", "mpmath", "yaml", "prefect", "torch", "transformers", "vllm", "obstore"}
OURS = ("overthink.storage.store", "overthink.tasks.recipes", "overthink.tasks.stages", "overthink.tasks.domains.math")
OF_SQL = {"pyarrow", "duckdb", "numpy"}


def loaded(*words: str) -> set[str]:
    """The modules that a process has imported once a command has ended."""
    script = (
        "import json, sys\nfrom overthink.flows.commands.cli import app\n"
        f"app({list(words)}, standalone_mode=False)\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stderr.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["import", "--help"], ["sql", "--help"]])
def test_help_needs_nothing_of_what_commands_do(words: list[str]) -> None:
    modules = loaded(*words)
    assert heavy(modules) == set()
    assert [name for name in modules if name.startswith(OURS)] == []


def test_sql_needs_no_recipe_and_no_domain(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("store")
    (store / "runs").mkdir()
    modules = loaded("sql", "SELECT 1 AS one", "--store", str(store))
    assert heavy(modules) <= OF_SQL
    assert [name for name in modules if name.startswith(OURS[1:])] == []
