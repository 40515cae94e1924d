"""Every block of code in README and docs/: commands exist, queries are answered, recipes are valid, snippets compile.

What a page's recipes and figures say beyond that is held by the test of that page.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from commanding import overthink
from plans import BASE
from pydantic import BaseModel
from test_readme import blocks, commands, help_of

from overthink.flows.commands.cli import app
from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.datasets.row_layouts import Preset
from overthink.tasks.engines.prm.family_data import PrmFamilyData
from overthink.tasks.recipes.loading import KINDS, check_recipe, find_recipe, read_runs
from overthink.tasks.recipes.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text("utf-8") for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
# What is not ours: containers, Prefect, and what sets up a shell or a machine.
FOREIGN = {"docker", "prefect", "export", "cp", "apt", "source", "ssh", "git", "cd", "aws"}
OURS = {"overthink", "python", "make", "pip", "benchmarks/gpu.sh"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
READ_BY = ("run", "sweep", "estimate", "prompt", "prm-eval", "prm-train", "validate")
SHIPPED = {path.stem for path in (ROOT / "recipes").glob("*.yaml")}


def written(language: str) -> Iterator[Any]:
    """The blocks of a language on all pages, each with its page as its name."""
    for page, text in PAGES.items():
        for number, block in enumerate(blocks(language, text)):
            yield pytest.param(block, id=f"{page}-{number}")


def lines() -> Iterator[Any]:
    """The commands of all pages, without the variables set before them."""
    for page, text in PAGES.items():
        for line in commands(text):
            words = [*dropwhile(re.compile("[A-Z_]+=").match, line)]
            if words:
                yield pytest.param(words, id=f"{page}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", [*lines()])
def test_a_command_exists(words: list[str]) -> None:
    assert words[0] in OURS | FOREIGN, "a command that the tests of pages know nothing of"
    match words[0]:
        case "overthink":
            exists(words[1:])
        case "make":
            assert f"\n{words[1]}:" in MAKEFILE
        case "python" if words[1] == "-m":
            assert words[2].split(".")[0] == "vllm" or find_spec(words[2]) is not None
        case "pip":
            named = re.findall(r"\[([\w,]+)\]", " ".join(words))
            assert {extra for one in named for extra in one.split(",")} <= set(EXTRAS)
        case "benchmarks/gpu.sh":
            assert (ROOT / words[0]).exists()


def exists(words: list[str]) -> None:
    """The command, its options and, where it is one that ships, its recipe with what `--set` changes."""
    if words[0].startswith("--"):
        assert words[0] in overthink("--help").stdout
        return
    assert words[0] in COMMANDS
    own = words[: words.index("|")] if "|" in words else words
    for option in (word.partition("=")[0] for word in own if word.startswith("--")):
        assert option in help_of(words[0]), option
    changes = [value for option, value in pairwise(own) if option == "--set"]
    if words[0] in ("run", "sweep", "estimate") and own[1] in SHIPPED and "$" not in "".join(changes):
        assert read_runs(find_recipe(own[1]), changes)


COMMANDS = {
    command.name or command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback is not None
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_a_command_in_a_sentence_exists(text: str) -> None:
    for said in re.findall(r"`overthink ([a-z][a-z-]*)((?: [^`]*)?)`", re.sub("```.*?```", "", text, flags=re.DOTALL)):
        assert said[0] in COMMANDS
        assert all(option in help_of(said[0]) for option in re.findall(r"(?<= )--[a-z-]+", said[1])), said


def asked() -> Iterator[Any]:
    """All queries of all pages: blocks of SQL, and those that `overthink sql` is given."""
    yield from written("sql")
    for page, text in PAGES.items():
        for number, words in enumerate(words for words in commands(text) if words[:2] == ["overthink", "sql"]):
            yield pytest.param(words[2], id=f"{page}: overthink sql {number}")


@pytest.mark.parametrize("sql", [*asked()])
def test_a_query_is_answered(sql: str, report_pages: Path) -> None:
    assert query(Store(report_pages / "store"), sql).num_columns > 0


# Of the fake runs nothing is unknown, and every problem is solved by some rollout.
EMPTY = ("correct IS NULL", "HAVING NOT bool_or")


def test_a_query_of_the_cookbook_finds_something(report_pages: Path) -> None:
    store, found = Store(report_pages / "store"), 0
    for sql in blocks("sql", PAGES["docs/cookbook.md"]):
        of_fakes = (
            sql.replace("'demo'", "'small'").replace("'other'", "'large'").replace("n64", "n8").replace("= 64", "= 8")
        )
        found += query(store, of_fakes).num_rows > 0
        assert query(store, of_fakes).num_rows > 0 or any(part in sql for part in EMPTY), sql
    assert found > 20


PARTS: dict[str, type[BaseModel]] = {"layout": PrmFamilyData, "columns": Preset}  # files that recipes name, by a key
NAMED = {"family.yaml": "layout:", "preset.yaml": "columns:", "examples.jsonl": ""}
EXAMPLE = json.dumps({"user": "1+1?", "assistant": "2"})


@pytest.mark.parametrize("block", [*written("yaml")])
def test_a_recipe_or_a_part_of_one_is_valid(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        name: text for name, key in NAMED.items() for text in blocks("yaml", PAGES["docs/extending.md"]) if key in text
    }
    for name, text in (files | {"examples.jsonl": EXAMPLE}).items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    value: dict[str, Any] = yaml.safe_load(block)
    part = next((model for key, model in PARTS.items() if key in value), None)
    if "security_opt" in value:  # of a container
        assert block in re.sub("^ +", "", (ROOT / "docker-compose.yml").read_text(), flags=re.MULTILINE)
    elif part is not None:
        part.model_validate(value)
    else:
        kind = next(kind for kind in (Recipe, *KINDS) if set(value) <= set(kind.model_fields))
        assert check_recipe(BASE | value) if kind is Recipe else kind.model_validate(value)


@pytest.mark.parametrize("block", [*written("python")])
def test_a_snippet_compiles(block: str) -> None:
    compile(block, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [*written("json")])
def test_json_is_json(block: str) -> None:
    for line in [block] if block.lstrip().startswith("[") else block.splitlines():
        json.loads(line)
