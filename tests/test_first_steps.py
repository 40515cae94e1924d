"""From nothing to a recipe that runs: init, validate, the help and what a shell completes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commanding import overthink
from storage_samples import run_named

from overthink.flows.commands.cli import COMMANDS
from overthink.storage.store import Store
from overthink.tasks.errors import UserError
from overthink.tasks.recipes.loading import KINDS, check_recipe, shipped_recipes
from overthink.tasks.recipes.methods import METHODS
from overthink.tasks.recipes.new_recipe import Wishes, recipe_text

# Says of itself that it is of another version, and makes nothing.
OTHER_PYTHON = """#!{python}
import sys
sys.version_info = ({version}, 0)
if sys.argv[1] == "-c":
    exec(sys.argv[2])
    sys.exit(0)
sys.exit(f"asked for {{' '.join(sys.argv[1:])}}")
"""
EXAMPLES = {example: function for group in COMMANDS.values() for function, _, example in group}


def test_a_first_recipe_is_valid_and_dry_runs(tmp_path: Path) -> None:
    made = overthink("init", "night.yaml", "--policy", "fake", "--prm", "fake", cwd=tmp_path)
    told = "wrote night.yaml; next: overthink run night.yaml --dry-run, then overthink run night.yaml\n"
    assert (made.returncode, made.stdout, made.stderr) == (0, told, "")
    checked = overthink("validate", "night.yaml", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "night.yaml: a valid recipe of `overthink run`\n")
    dry = overthink("run", "night.yaml", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0 and "50 problems (chains-test@" in dry.stdout
    text = (tmp_path / "night.yaml").read_text()
    assert all(f"\n# {comment}" in text for comment in ("the model that writes", "the model that scores each step"))


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"compute_optimal"}))
def test_every_method_makes_a_valid_recipe(method: str) -> None:
    value = yaml.safe_load(recipe_text(Wishes("r", method=method)))
    assert check_recipe(value).methods[-1].method == method
    assert value["budgets"] == {"cot": [1]}.get(method, [1, 4, 16] if METHODS[method].independent else [1, 16])


def test_a_strategy_is_fitted_first() -> None:
    with pytest.raises(UserError, match="make one by `overthink fit`"):
        recipe_text(Wishes("r", method="compute_optimal"))


def test_problems_are_a_preset_at_its_revision_or_a_file() -> None:
    hub = yaml.safe_load(recipe_text(Wishes("r", problems="math500")))["problems"]
    assert (hub["preset"], hub["dataset"], len(hub["revision"])) == ("math500", "HuggingFaceH4/MATH-500", 40)
    assert yaml.safe_load(recipe_text(Wishes("r", problems="q.jsonl")))["problems"]["path"] == "q.jsonl"
    with pytest.raises(UserError, match=r"no preset 'mth500', and a file ends in \.jsonl, .*: did you mean math500\?$"):
        recipe_text(Wishes("r", problems="mth500"))


def test_engines_are_what_they_are_called() -> None:
    served = yaml.safe_load(recipe_text(Wishes("r", policy="qwen@http://h:8000/v1", prm="none")))
    assert served["policy"] == {"engine": "openai", "model": "qwen", "endpoints": ["http://h:8000/v1"]}
    assert "prm" not in served
    prm = yaml.safe_load(recipe_text(Wishes("r", prm="peiyi9979/math-shepherd-mistral-7b-prm")))["prm"]
    assert prm["family"] == "math-shepherd"


def test_what_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("mine")
    refused = overthink("init", cwd=tmp_path)
    told = "recipe.yaml is there already: name another file, or replace it with --force\n"
    assert (refused.returncode, refused.stderr) == (2, told)
    assert overthink("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "recipe.yaml").read_text() != "mine"


def test_wishes_that_do_not_fit_write_nothing(tmp_path: Path) -> None:
    refused = overthink("init", "--method", "dvts", "--budget", "6", cwd=tmp_path)
    told = "the recipe: methods.1: n = 6 is not a multiple of beam_width = 4\n"
    assert (refused.returncode, refused.stderr, [*tmp_path.iterdir()]) == (2, told, [])


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    value = yaml.safe_load(shipped_recipes()[name].read_text(encoding="utf-8"))
    command = next(kind.command for kind in KINDS if kind.own_key in value)
    answer = overthink("validate", name)
    assert (answer.returncode, answer.stdout) == (0, f"{name}: a valid recipe of `overthink {command}`\n")


def test_an_import_and_a_strategy_are_known_by_their_keys(tmp_path: Path) -> None:
    (tmp_path / "import.yaml").write_text("name: a\nformat: jsonl\npath: a.jsonl\ncolumns: {question: q, text: t}\n")
    assert "a valid recipe of `overthink import`" in overthink("validate", "import.yaml", cwd=tmp_path).stdout
    (tmp_path / "strategy.yaml").write_text("name: a\nchoices: []\n")
    told = overthink("validate", "strategy.yaml", cwd=tmp_path)
    assert told.returncode == 2 and told.stderr.startswith("strategy.yaml: policy: is missing: add it; ")


def test_a_recipe_of_no_kind_is_told_as_one_of_run(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nmethds: []\n")
    told = overthink("validate", "a.yaml", cwd=tmp_path).stderr
    assert "methds: unknown key: did you mean methods?" in told


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_command_ends_its_help_with_an_example_of_its_options(example: str) -> None:
    words = shlex.split(example)
    shown = overthink(words[1], "--help")
    assert shown.returncode == 0
    assert f"Example: {' '.join(example.split())}" in " ".join(shown.stdout.split())
    assert all(word in shown.stdout for word in words if word.startswith("--")), "it has these options"


def test_the_help_is_in_groups() -> None:
    shown = overthink("--help").stdout
    assert all(f"─ {group} ─" in shown for group in COMMANDS)


def test_a_shell_completes_commands_recipes_and_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for run_id in ("night-0a1b", "day-2c3d"):
        store.write_run(run_named(run_id))
    (tmp_path / "small.yaml").write_text("name: a\n")

    def completed(typed: str) -> list[str]:
        words = {"COMP_WORDS": f"overthink {typed}", "COMP_CWORD": str(len(typed.split()))}
        return overthink(cwd=tmp_path, _OVERTHINK_COMPLETE="complete_bash", **words).stdout.split()

    assert completed("val") == ["validate"]
    assert completed("run sm") == ["smoke", "small.yaml"]
    assert completed("report ni") == ["night-0a1b"]
    assert completed("tree ni") == ["night-0a1b"]


@pytest.mark.parametrize(
    ("version", "is_new_enough"), [("3, 9", False), ("3, 10", False), ("3, 11", True), ("3, 14", True)]
)
def test_an_old_python_is_told_before_anything_is_made(tmp_path: Path, version: str, is_new_enough: bool) -> None:
    python = tmp_path / "python"
    python.write_text(OTHER_PYTHON.format(python=sys.executable, version=version))
    python.chmod(0o755)
    words = ["make", "-f", Path(__file__).parents[1] / "Makefile", "install", f"PYTHON={python}"]
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/cpu.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    made = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)
    assert made.returncode == 2
    told = f"{python} is older than the Python 3.11 that is needed: name a newer one, as in make PYTHON=python3.12\n"
    assert (told in made.stdout) is not is_new_enough
    assert ("asked for -m venv .venv" in made.stderr) is is_new_enough, "the next step"
    assert not (tmp_path / ".venv").exists()
