"""docs/reasoning.md tells the truth: its recipes are valid, and it names every family with its marks."""

import re
from pathlib import Path

import yaml

from overthink.tasks.reasoning_marks import FAMILIES
from overthink.tasks.recipes.reasoning_config import Family, ReasoningConfig
from overthink.tasks.recipes.recipe import Recipe

PAGE = (Path(__file__).parents[1] / "docs" / "reasoning.md").read_text(encoding="utf-8")
BASE = {
    "name": "thinks",
    "problems": {"source": "chains", "count": 2},
    "policy": {"engine": "fake", "thinks": 2},
    "methods": [{"method": "best_of_n", "n": 8}],
    "budgets": [1],
}


def test_its_recipes_are_valid() -> None:
    parts = [line for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for line in separate(block)]
    assert len(parts) == 7
    for part in parts:
        Recipe.model_validate(BASE | part)


def separate(block: str) -> list[dict[str, object]]:
    """Several recipes of one key each stand in one block."""
    lines = block.splitlines()
    alone = all(line.startswith("reasoning:") for line in lines)
    return [yaml.safe_load(line) for line in lines] if alone else [yaml.safe_load(block)]


def test_it_names_every_family_with_its_marks() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(.*)` \| `(.*)` \|$", PAGE, re.MULTILINE)
    found = {name: (begin.replace("\\|", "|"), end.replace("\\|", "|")) for name, begin, end in rows}
    assert found == {name: (marks.open, marks.close) for name, marks in FAMILIES.items()}


def test_every_family_can_be_named_in_a_recipe() -> None:
    names = set(Family.__args__)
    assert names == {"auto", "none", *FAMILIES}
    assert ReasoningConfig(marks="harmony").marks == "harmony"
