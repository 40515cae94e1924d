"""The page on GPUs has every check and the computed table, its recipe is one; the script is honest about failures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.gpu_checks import CHECKS
from benchmarks.gpu_memory import CARDS, GIB, POLICIES, PRMS, Model, shares, table
from overthink.tasks.recipes.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
WITHOUT_GPU = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}


def test_the_page_has_every_check_and_no_other() -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, flags=re.MULTILINE) == list(CHECKS)


def test_the_page_has_the_table_as_it_is_computed() -> None:
    assert table() in PAGE


def test_its_recipe_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert Recipe.model_validate(yaml.safe_load(block)).name == "on-one-card"


def test_a_cache_takes_what_its_shape_says() -> None:
    model = Model("m", 1.0, layers=2, heads=3, head_size=5)
    assert model.cache(7) * GIB == pytest.approx(7 * 2 * 2 * 3 * 5 * 2)
    assert model.weights * GIB == pytest.approx(2e9)


@pytest.mark.parametrize("card", CARDS.values())
def test_shares_that_fit_leave_each_model_what_it_needs(card: float) -> None:
    fitting = [(policy, prm, found) for policy in POLICIES for prm in PRMS if (found := shares(policy, prm, card))]
    assert fitting
    for policy, prm, (of_policy, of_prm, sequences) in fitting:
        assert of_policy + of_prm <= 0.92 + 1e-9
        assert of_policy * card >= policy.least and of_prm * card >= prm.least
        assert sequences >= 8


def test_the_script_is_bash() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    told = subprocess.run([SCRIPT, tmp_path / "out"], env=WITHOUT_GPU, capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "torch sees no GPU" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_failure_is_told_and_stops_no_other(tmp_path: Path) -> None:
    environment = WITHOUT_GPU | {"CHECKS": "no-such-check cuda-graphs missing-card"}
    told = subprocess.run([SCRIPT, "--cpu", tmp_path], env=environment, capture_output=True, text=True)
    assert told.returncode == 1
    first, second, third = [line.split(" | ") for line in told.stdout.splitlines() if "gpu_checks run" in line]
    assert first[2].startswith("failed: ")
    assert second[2] == "skipped: needs 1 card, this machine has 0"
    assert third[2] == "ok" and third[3].startswith("refused after")
    assert (tmp_path / "table.md").read_text() == told.stdout
    assert "no-such-check" in (tmp_path / "no-such-check.log").read_text()
