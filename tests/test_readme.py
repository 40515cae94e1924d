"""README tells the truth: its recipe validates, its SQL runs, its make targets exist."""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import get_args

import yaml
from commanding import overthink
from typer.testing import CliRunner

from benchmarks.gpu_memory import table
from overthink.flows.commands.cli import app
from overthink.tasks.analysis.prm_measures import Measure
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.engine_config import TorchPrmConfig
from overthink.tasks.engines.prm.families import FAMILIES
from overthink.tasks.engines.prm_config import GenerativePrmConfig
from overthink.tasks.recipes.loading import find_recipe, read_recipe
from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe, PrmTrainRecipe
from overthink.tasks.recipes.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRMS = (ROOT / "docs" / "prms.md").read_text(encoding="utf-8")
STRATEGIES = (ROOT / "docs" / "compute-optimal.md").read_text(encoding="utf-8")
REPORT = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SERVERS = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
BUCKETS = (ROOT / "docs" / "buckets.md").read_text(encoding="utf-8")
SIZES = (ROOT / "docs" / "sizes.md").read_text(encoding="utf-8")
NIGHTLY = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str = README) -> list[list[str]]:
    """The shell commands of README, or of another page, as words."""
    return [shlex.split(line, comments=True) for block in blocks("sh", text) for line in _logical_lines(block)]


def _logical_lines(block: str) -> list[str]:
    lines: list[str] = []
    for line in block.splitlines():
        if lines and lines[-1].endswith("\\"):
            lines[-1] = lines[-1].removesuffix("\\") + line.strip()
        elif lines and lines[-1].count('"') % 2:
            lines[-1] += "\n" + line
        elif line.strip() and not line.startswith("#"):
            lines.append(line)
    return lines


@cache
def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, command
    return result.output


def test_the_recipes_of_the_readme_are_valid() -> None:
    written = [yaml.safe_load(block) for block in blocks("yaml")]
    (whole,) = [recipe for recipe in written if "name" in recipe]
    for part in written:
        assert Recipe.model_validate(whole | part).chosen_selectors()[0] == "majority"


def test_the_lines_for_a_gpu_make_a_recipe_that_runs_as_they_say(tmp_path: Path) -> None:
    section = README.partition("## On your GPU")[2].partition("\n## ")[0]
    quick, split = blocks("sh", section)
    assert len(quick.strip().splitlines()) == 4
    made = next(words for words in commands(section) if words[:2] == ["overthink", "init"])
    assert overthink(*made[1:], cwd=tmp_path).returncode == 0
    sets = shlex.split(split)[3:]
    checked = overthink("validate", "night.yaml", *sets, cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "night.yaml: a valid recipe of `overthink run`\n")
    rows = [line for line in section.splitlines() if line.startswith("| Qwen")]
    assert len(rows) > 3 and all(row in table() for row in rows), "as benchmarks/gpu_memory.py computes it"


def test_the_table_of_selectors_has_all_that_its_recipe_chooses() -> None:
    section = README.partition("## Without a PRM")[2].partition("## Search")[0]
    shown = {"majority", "oracle", "shortest", "shortest_vote"}
    for signal, best, *votes in (line.strip("| ").split("|") for line in section.splitlines() if line.endswith("|")):
        cells = zip(("max", "vote", "top10_vote", "top90_vote"), (best, *votes), strict=False)
        shown |= {f"{signal.strip()}_{kind}" for kind, cell in cells if re.fullmatch(r"\d+\.\d", cell.strip())}
    chosen = read_recipe(find_recipe("selectors")).chosen_selectors()
    assert shown - {"shortest_max"} == set(chosen)


def test_the_recipes_of_the_page_on_prms_are_valid() -> None:
    based, writing, judged, trained = map(yaml.safe_load, blocks("yaml", PRMS))
    assert GenerativePrmConfig.model_validate(writing["prm"]).critiques == 4
    assert TorchPrmConfig.model_validate(based["prm"]).base is not None
    assert PrmEvalRecipe.model_validate(judged).solutions.source == "file"
    assert PrmTrainRecipe.model_validate(trained).training.part == "lora"


def test_the_recipe_of_the_page_on_strategies_holds_what_a_fit_needs() -> None:
    (whole,) = [recipe for recipe in map(yaml.safe_load, blocks("yaml")) if "name" in recipe]
    part, applied = map(yaml.safe_load, blocks("yaml", STRATEGIES))
    recipe = Recipe.model_validate(whole | part)
    sizes = {method.n for method in recipe.methods if method.is_search}
    assert sizes >= {budget - recipe.difficulty.pilot for budget in (16, 64)} | {16, 64}
    assert len(Recipe.model_validate(whole | applied | {"budgets": [4, 16]}).strategies) == 2


def test_the_recipe_of_the_page_on_nights_has_a_gate() -> None:
    (nightly,) = map(yaml.safe_load, blocks("yaml", NIGHTLY))
    gate = Recipe.model_validate(nightly).gate
    assert gate is not None and gate.against == "last"


def test_the_page_on_prms_names_every_family_and_every_measure() -> None:
    assert set(get_args(Measure)) | set(FAMILIES) <= set(re.findall(r"`([\w-]+)`", PRMS))


def test_every_service_of_the_page_on_deploying_exists() -> None:
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    composed = [words[2:] for words in commands(DEPLOY) if words[:2] == ["docker", "compose"]]
    assert len(composed) > 4
    for words in composed:
        named = re.findall(r"\b(?:worker|schedule|policy|prm)-\w+", " ".join(words))
        assert set(named) <= set(file["services"])
    for name in re.findall(r"^\| `([\w-]+)", DEPLOY, flags=re.MULTILINE):
        assert any(service.startswith(name) for service in file["services"]), name


def test_the_tree_of_the_readme_is_one_of_its_run() -> None:
    ((_, _, name, problem_id, _, method),) = [words for words in commands() if words[:2] == ["overthink", "tree"]]
    recipe = read_recipe(find_recipe(name))
    assert problem_id in {problem.problem_id for problem in load_problems(recipe.problems).problems}
    assert method in {config.method_id for config in recipe.methods if config.is_search}


def test_every_file_that_the_readme_names_is_there() -> None:
    for name in re.findall(r"`((?:docs|flows|tasks|recipes|requirements)/[\w./-]+)`", README + DEPLOY):
        assert (ROOT / name).exists(), name
