"""docs/prompts.md says what the prompts are: its recipes, commands and presets are the real ones."""

import json
import re
from pathlib import Path

import pytest
import yaml
from plans import BASE
from test_readme import blocks, commands, help_of

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.domains.math.mathematics import LLAMA3_MATH
from overthink.tasks.domains.prompt_config import PromptConfig
from overthink.tasks.domains.prompts import BOXED
from overthink.tasks.recipes.loading import check_recipe

PAGE = (Path(__file__).parents[1] / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_the_recipes_of_the_page_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples.jsonl").write_text(json.dumps({"user": "1+1?", "assistant": "2"}) + "\n")
    monkeypatch.chdir(tmp_path)
    recipes = [check_recipe(BASE | yaml.safe_load(block)) for block in blocks("yaml", PAGE)]
    assert len(recipes) == 5
    said = {name for recipe in recipes for name in recipe.prompt.model_fields_set}
    assert said == set(PromptConfig.model_fields), "every key has its example"


def test_the_page_has_the_styles_word_for_word() -> None:
    assert f"`{BOXED}`" in PAGE
    assert [block.removesuffix("\n") for block in blocks("text", PAGE)] == [LLAMA3_MATH]
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == {"qwen", "llama3", "r1", "plain"}


def test_the_commands_of_the_page_exist_and_its_query_is_answered(tmp_path: Path) -> None:
    for words in commands(PAGE):
        assert words[0] == "overthink"
        assert all(option.partition("=")[0] in help_of(words[1]) for option in words if option.startswith("--"))
    (sql,) = (words[2] for words in commands(PAGE) if words[1] == "sql")
    assert query(Store(tmp_path), sql).column_names == ["problem_id", "options"]
