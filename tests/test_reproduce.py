"""docs/reproduce.md tells the truth: its commands exist, its recipes are valid, its hours are those of the command."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from test_readme import commands
from typer.testing import CliRunner

from overthink.flows.commands.cli import app
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.analysis.planning import ACCELERATORS, Assumptions, Needs
from overthink.tasks.plan.cost_estimate import estimates
from overthink.tasks.recipes.loading import find_recipe, read_recipe_of, read_runs
from overthink.tasks.recipes.sweep_recipe import SweepRecipe

PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
PAPER = ("paper-math500", "paper-math500-large", "paper-aime24", "paper-aime24-large")


def changes(words: list[str]) -> list[str]:
    return [value for option, value in pairwise(words) if option == "--set"]


@pytest.mark.parametrize("words", commands(PAGE), ids=lambda words: " ".join(words[1:3]))
def test_every_command_exists_and_reads_its_recipe(words: list[str], tmp_path: Path) -> None:
    assert words[0] == "overthink"
    told = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0
    assert all(word in told.output for word in words if word.startswith("--"))
    if words[1] in ("run", "sweep", "estimate"):
        assert read_runs(find_recipe(words[2]), changes(words))
    if words[1] == "sql":
        assert query(Store(tmp_path), words[2]).num_columns > 1


def test_the_small_start_is_a_part_of_the_grid() -> None:
    (words,) = [words for words in commands(PAGE) if words[1] == "sweep" and "--set" in words]
    (run,) = read_runs(find_recipe(words[2]), changes(words))
    assert run.policy.placement.gpu_memory + run.prm.placement.gpu_memory <= 1  # type: ignore[union-attr]


@pytest.mark.parametrize("name", PAPER)
def test_the_hours_of_the_page_are_those_of_the_command(name: str) -> None:
    runs = read_runs(find_recipe(name))
    rows = estimates(runs, ACCELERATORS["h100"], Assumptions(), {}, None)
    total = sum((row.needs for row in rows), Needs())
    (line,) = [line for line in PAGE.splitlines() if re.match(rf"\| `{name}` \| \d", line)]
    cells = [float(cell.replace(",", "")) for cell in line.split("|")[2:-1]]
    hours = total.policy_hours + total.prm_hours
    needed = (total.policy_tokens, total.prm_tokens, total.policy_flops, total.prm_flops, hours)
    assert cells == [len(runs), *(float(f"{amount:.2g}") for amount in needed)]


def test_the_hours_add_up() -> None:
    hours = [
        int(line.split("|")[-2].replace(",", ""))
        for line in PAGE.splitlines()
        if re.match(r"\| `paper[^|]*\| \d", line)
    ]
    assert float(f"{sum(hours):.2g}") == 3200
    assert len(hours) == len(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_grids_hold_what_the_page_says(name: str) -> None:
    recipe = read_recipe_of(SweepRecipe, find_recipe(name))
    assert recipe.left_out() == []
    assert recipe.budgets == (4, 16, 64, 256)
    assert recipe.sampling.temperature == 0.7
    for run in recipe.recipes():
        policy, prm = run.policy.placement, run.prm.placement  # type: ignore[union-attr]
        shared = set(policy.devices) & set(prm.devices)
        assert not shared or policy.gpu_memory + prm.gpu_memory <= 1
        assert run.policy.max_model_len < run.prm.max_model_len  # type: ignore[union-attr, operator]


def test_the_miniature_compares_on_the_same_chains_that_no_sweep_saw() -> None:
    small, large = (read_runs(find_recipe(name))[0] for name in ("miniature", "miniature-large"))
    assert small.problems == large.problems
    (fitted,) = read_runs(find_recipe("sweep"))
    assert (small.policy, small.prm, small.sampling) == (fitted.policy, fitted.prm, fitted.sampling)
    assert (fitted.problems.split, small.problems.split) == ("validation", "test")  # type: ignore[union-attr]
