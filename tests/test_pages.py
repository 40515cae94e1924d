"""Every block of code in README and docs/: commands exist, queries are answered, recipes are valid, snippets compile.

What a page's recipes and figures say beyond that is held by the test of that page.
"""

import ast
import json
import re
import shutil
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
from overthink.tasks.datasets.presets import PRESETS
from overthink.tasks.datasets.row_layouts import Preset
from overthink.tasks.engines.prm.families import FAMILIES
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
    """The queries that `overthink sql` is given on all pages."""
    for page, text in PAGES.items():
        for number, words in enumerate(words for words in commands(text) if words[:2] == ["overthink", "sql"]):
            yield pytest.param(words[2], id=f"{page}: overthink sql {number}")


@pytest.mark.parametrize("sql", [*asked()])
def test_a_query_is_answered(sql: str, report_pages: Path) -> None:
    assert query(Store(report_pages / "store"), sql).num_columns > 0


# Of the fake runs nothing is unknown, and every problem is solved by some rollout.
EMPTY = ("correct IS NULL", "HAVING NOT bool_or")


def test_a_query_of_the_cookbook_finds_something(report_pages: Path) -> None:
    store, names = (
        Store(report_pages / "store"),
        {"'demo'": "'small'", "'other'": "'large'", "n64": "n8", "= 64": "= 8"},
    )
    queries = blocks("sql", PAGES["docs/cookbook.md"])
    assert len(queries) > 20
    assert [page for page, text in PAGES.items() if blocks("sql", text)] == ["docs/cookbook.md"]
    for sql in queries:
        of_fakes = re.sub("|".join(names), lambda found: names[found[0]], sql)
        assert query(store, of_fakes).num_rows > 0 or any(part in sql for part in EMPTY), sql


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


# Commands that need nothing but a finished store are run on one, by names that are there.
ON_A_STORE = {"status", "report", "cost", "show", "view", "export", "compare", "tree", "gc"}
STAND_INS = {
    **dict.fromkeys(("demo", "night", "my-run", "search", "miniature", "nightly-61c40a", "RUN"), "small"),
    **dict.fromkeys(("miniature-large", "nightly-2b8de2"), "large"),
    **dict.fromkeys(("/data/store", "/data/paper"), "store"),
    "beam_search-n16-m4-step_tokens64": "beam_search-n8-m4",
    "PROBLEM": "0",
}
# Buckets, a server that goes on, imports, and names that nobody has: their own tests have them.
NOT_HERE = re.compile("s3://|^view(?!.*--export)|^compare (search-and-learn|compute-optimal-tts|answer-counts)$|…")


def on_a_store() -> list[Any]:
    """Each of these commands once, with names of the store."""
    found: dict[str, Any] = {}
    for page, text in PAGES.items():
        for words in (words[1:] for words in commands(text) if words[0] == "overthink"):
            there = [re.sub("^chain-.*", "0", STAND_INS.get(word, word)) for word in words]
            there = [re.sub(r".*\.html$", "page.html", word) for word in there]  # one name, so that each is made once
            said = " ".join(there)
            if words[0] in ON_A_STORE and not NOT_HERE.search(said):
                found.setdefault(said, pytest.param(there, id=f"{page}: {said[:60]}"))
    return [*found.values()]


@pytest.mark.parametrize("words", on_a_store())
def test_a_command_does_what_it_says(words: list[str], report_pages: Path, tmp_path: Path) -> None:
    shutil.copytree(report_pages / "store", tmp_path / "store")
    told = overthink(*words, cwd=tmp_path)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    "words", [words for text in PAGES.values() for words in commands(text) if words[1:2] == ["init"]]
)
def test_a_first_recipe_is_valid(words: list[str], tmp_path: Path) -> None:
    assert overthink(*words[1:], cwd=tmp_path).returncode == 0
    (written_there,) = tmp_path.iterdir()
    assert overthink("validate", written_there).returncode == 0


def test_files_and_exports_are_read_by_other_tools_as_the_pages_say(
    report_pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(report_pages / "store", tmp_path / "store")
    for words in commands(PAGES["docs/sql.md"]):
        if words[1] == "export":
            assert overthink(*(STAND_INS.get(word, word) for word in words[1:]), cwd=tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    snippets = [*blocks("python", PAGES["docs/store.md"]), *blocks("python", PAGES["docs/sql.md"])]
    assert len(snippets) == 3
    for snippet in snippets:
        lines_here = [line for line in snippet.splitlines() if find_spec("polars") or "polars" not in line]
        exec("\n".join(lines_here), {})


@pytest.mark.parametrize("block", [*written("python")])
def test_a_snippet_compiles(block: str) -> None:
    compile(block, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", [*written("json")])
def test_json_is_json(block: str) -> None:
    for line in [block] if block.lstrip().startswith("[") else block.splitlines():
        json.loads(line)


def test_the_messages_that_are_explained_are_those_of_the_code() -> None:
    section = PAGES["docs/troubleshooting.md"].partition("## Messages")[2]
    messages = re.findall(r"^\| `(.*?)` …", section, flags=re.MULTILINE)
    assert len(messages) == 4
    code = "".join(path.read_text("utf-8") for top in ("storage", "tasks") for path in (ROOT / top).rglob("*.py"))
    assert [message for message in messages if message not in code] == []


def test_what_the_page_on_other_tools_counts_of_ours() -> None:
    page = PAGES["docs/comparison.md"]
    assert f"| {len(PRESETS)} data sets |" in page
    assert len(FAMILIES) == 10 and "ten families" in page
