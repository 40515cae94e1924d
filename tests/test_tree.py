"""`overthink tree`: every node once, in its place, with its marks; and mistakes told with the remedy."""

import asyncio
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from conftest import recipe_of
from rich.console import Console
from storage_samples import run_named
from typer.testing import CliRunner, Result

from overthink.flows.commands.cli import app
from overthink.flows.evaluate import evaluate
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.sql import query
from overthink.storage.store import StageUse, Store
from overthink.tasks.reporting.tree_text import tree_of

Row = dict[str, Any]
METHOD = "beam_search-n4-m2"
COMMAND = Path(sys.executable).parent / "overthink"


def overthink(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def node(node_id: str, text: str, **changes: Any) -> Row:
    """A node whose parent and draw stand in its id: `1.0` is draw 0 below draw 1 of the first steps."""
    parent, _, draw = node_id.rpartition(".")
    values: Row = {
        "problem_key": "a",
        "problem_id": "id-a",
        "node_id": node_id,
        "parent_id": parent or None,
        "depth": node_id.count(".") + 1,
        "draw": int(draw),
        "text": text,
        "score": 0.25,
        "value": 0.25,
        "kept": False,
        "dropped": None,
        "finished": False,
        "completion_tokens": 3,
        "lookahead_tokens": 0,
    }
    return values | changes


DROPPED = {"score": None, "value": None}
NODES = [
    node("0", "20+11=31", score=0.9, value=0.9, kept=True),
    node("1", "20+11=30"),
    node("2", "20+11=31", dropped="duplicate", **DROPPED),
    node("3", "twenty and so on and", dropped="length", **DROPPED),
    node("1000000", "", dropped="blank", **DROPPED),
    node("0.0", "31+1=32\nby  counting", score=0.5, value=0.75, lookahead_tokens=7, kept=True),
    node("0.1", "31+1=33", score=0.125, value=0.125, lookahead_tokens=0),
    node("0.0.0", "\\boxed{32}", score=0.875, value=0.875, kept=True, finished=True),
    node("0.0.1", "", score=None, value=0.75, finished=True),
]
DRAWN = """\
beam_search-n4-m2, id-a: Take 20, plus 11. What is [bold]it[/bold]?
├── 0.900 20+11=31
│   ├── 0.500 → 0.750 31+1=32 by counting
│   │   ├── 0.875 \\boxed{32} ■
│   │   └──   –    ■ [pruned]
│   └── 0.125 31+1=33 [pruned]
├── 0.250 20+11=30 [pruned]
├──   –   20+11=31 [duplicate]
├──   –   twenty and so on and [length]
└──   –    [blank]
"""


def put(store: Store, key: str, table: str, rows: list[Row]) -> None:
    store.stage(key).write_part(Extent(("a",), 0, 4), {table: rows_table(table, rows)})


def problem(problem_set: str = "sums", problem_id: str = "id-a") -> Row:
    question = "Take 20, plus 11. What is [bold]it[/bold]?"
    return {"problem_set": problem_set, "problem_key": "a", "problem_id": problem_id, "question": question}


def written(root: Path, nodes: list[Row], problem_id: str = "id-a") -> Store:
    """A store with one run of one search of one problem."""
    store = Store(root)
    put(store, "problems-1", "problems", [problem(problem_id=problem_id)])
    put(store, "search-1", "nodes", [row | {"problem_id": problem_id} for row in nodes])
    store.write_run(run_named("one", StageUse("problems", "problems-1"), StageUse("search", "search-1", METHOD, 4)))
    return store


def shown(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())


def test_a_tree_drawn_by_hand(tmp_path: Path) -> None:
    written(tmp_path, NODES)
    assert shown(overthink("tree", "one", "id-a", "--store", str(tmp_path))) == DRAWN


def test_the_search_may_be_named_and_the_run_abbreviated(tmp_path: Path) -> None:
    written(tmp_path, NODES)
    assert shown(overthink("tree", "o", "id-a", "--method", METHOD, "--store", str(tmp_path))) == DRAWN


def test_what_was_kept_is_bold_and_all_else_dim(tmp_path: Path) -> None:
    store = written(tmp_path, NODES)
    output = StringIO()
    console = Console(file=output, force_terminal=True, color_system="truecolor", width=120)
    console.print(tree_of(store, "one", "id-a", None), highlight=False)
    _, *lines = output.getvalue().splitlines()
    bold = ["\x1b[1m" in line for line in lines]
    dim = ["\x1b[2m" in line for line in lines]
    assert bold == [True, True, True, False, False, False, False, False, False]
    assert dim == [not kept for kept in bold]


@pytest.mark.parametrize(
    "text",
    [
        *("[bold]x[/bold]", "[/]", "[link=x]y", "x \\", "\\frac{1}{2} \\]", "\\[bold]", "中é", "a" * 80),
        *("\\[ x = 3 \\]", "x = 1 \\\\", "odds :x: 2"),
    ],
)
def test_the_text_of_a_step_is_shown_as_it_is(text: str, tmp_path: Path) -> None:
    written(tmp_path, [node("0", text, kept=True), node("1", text)])
    lines = shown(overthink("tree", "one", "id-a", "--store", str(tmp_path))).splitlines()
    assert lines[1:] == [f"├── 0.250 {text}", f"└── 0.250 {text} [pruned]"]


def test_the_text_of_a_step_cannot_steer_the_terminal(tmp_path: Path) -> None:
    written(tmp_path, [node("0", "x\x1b[2J\x07y", kept=True)])
    lines = shown(overthink("tree", "one", "id-a", "--store", str(tmp_path))).splitlines()
    assert lines[1:] == ["└── 0.250 x\\x1b[2J\\x07y"]


def test_a_long_step_is_shown_whole(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    written(tmp_path, [node("0", " ".join(words)), node("1", "after it")])
    drawn = shown(overthink("tree", "one", "id-a", "--store", str(tmp_path)))
    assert re.findall(r"word\d+", drawn) == words
    assert "└── 0.250 after it [pruned]" in drawn


def test_a_problem_id_may_hold_quotes(tmp_path: Path) -> None:
    written(tmp_path, NODES, problem_id="five o'clock; --")
    drawn = shown(overthink("tree", "one", "five o'clock; --", "--store", str(tmp_path)))
    assert len(drawn.splitlines()) == 1 + len(NODES)


def test_a_problem_that_lies_in_two_problem_sets_has_its_nodes_once(tmp_path: Path) -> None:
    store = written(tmp_path, NODES)
    put(store, "problems-2", "problems", [problem("more sums")])
    store.write_run(run_named("two", StageUse("problems", "problems-2")))
    assert shown(overthink("tree", "one", "id-a", "--store", str(tmp_path))) == DRAWN


def test_a_path_of_forty_steps_is_shown_to_its_end_a_line_a_step(tmp_path: Path) -> None:
    ids = [".".join(["0"] * (depth + 1)) for depth in range(40)]
    written(tmp_path, [node(node_id, f"step {depth} of many", kept=True) for depth, node_id in enumerate(ids)])
    _, *lines = shown(overthink("tree", "one", "id-a", "--store", str(tmp_path))).splitlines()
    assert [line.strip() for line in lines] == [f"└── 0.250 step {depth} of many" for depth in range(40)]


# Of a run on fakes.


@pytest.fixture(scope="module")
def store(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two searches, and two that stand on a part of its stages: one search, and none."""
    folder = tmp_path_factory.mktemp("trees")
    recipe: Row = {
        "name": "two",
        "problems": {"source": "chains", "count": 2},
        "policy": {"engine": "fake", "steps": 6},
        "prm": {"engine": "fake"},
        "methods": [{"method": "beam_search", "n": 8, "lookahead": 1}, {"method": "dvts", "n": 8}],
        "budgets": [1],
    }
    asyncio.run(evaluate(recipe_of(recipe), folder))
    opened = Store(folder)
    two = opened.find_run("two")
    problems, dvts = ([use for use in two.stages if use.method_id == method_id] for method_id in (None, "dvts-n8-m4"))
    opened.write_run(run_named("one", *problems, *dvts))
    opened.write_run(run_named("none", *problems))
    return folder


def in_order(nodes: list[Row], parent_id: str | None = None) -> list[Row]:
    """The nodes as a tree is read: each followed by what is below it."""
    children = sorted((row for row in nodes if row["parent_id"] == parent_id), key=lambda row: row["draw"])
    return [row for child in children for row in (child, *in_order(nodes, child["node_id"]))]


def mark_of(row: Row) -> str:
    end = " ■" if row["finished"] else ""
    if row["dropped"]:
        return f"{end} [{row['dropped']}]"
    return end if row["kept"] else f"{end} [pruned]"


@pytest.mark.parametrize("method_id", ["beam_search-n8-m4-lookahead1", "dvts-n8-m4"])
def test_the_tree_of_a_run_has_every_node_once_and_in_its_place(store: Path, method_id: str) -> None:
    sql = f"SELECT * FROM nodes WHERE run_id LIKE 'two-%' AND method_id = '{method_id}'"
    nodes = query(Store(store), sql).to_pylist()
    problem_id = nodes[0]["problem_id"]
    expected = in_order([row for row in nodes if row["problem_id"] == problem_id])
    result = overthink("tree", "two", problem_id, "--method", method_id, "--store", str(store))
    title, *lines = shown(result).splitlines()
    assert title.startswith(f"{method_id}, {problem_id}: Take ")
    assert len(lines) == len(expected) > 20
    for line, row in zip(lines, expected, strict=True):
        match = re.fullmatch(r"(?P<guides>[│ ]*[├└]── )(?P<label>.*)", line)
        assert match is not None
        assert len(match["guides"]) == 4 * row["depth"]
        assert match["label"].endswith(f" {row['text']}{mark_of(row)}")
        score = "  –  " if row["score"] is None else f"{row['score']:.3f}"
        ahead = f" → {row['value']:.3f}" if row["lookahead_tokens"] else ""
        assert match["label"] == f"{score}{ahead} {row['text']}{mark_of(row)}"


def test_without_a_method_the_one_search_of_a_run_is_drawn(store: Path) -> None:
    problem_id = query(Store(store), "SELECT min(problem_id) AS p FROM nodes").to_pylist()[0]["p"]
    named = overthink("tree", "two", problem_id, "--method", "dvts-n8-m4", "--store", str(store))
    assert shown(overthink("tree", "one", problem_id, "--store", str(store))) == shown(named)


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no run": (["nothing", "0"], "holds no run named 'nothing': runs there: "),
    "no problem": (["one", "chain-99"], "has no tree of problem 'chain-99': name one, such as "),
    "no search": (["none", "0"], "has no search, so no tree: its methods draw whole solutions"),
    "several searches": (
        ["two", "0"],
        "has several searches: name one with --method, of beam_search-n8-m4-lookahead1, dvts-n8-m4",
    ),
    "no such search": (
        ["two", "0", "--method", "mcts-n8-m4"],
        "has no search 'mcts-n8-m4': it has beam_search-n8-m4-lookahead1, dvts-n8-m4",
    ),
    "another method": (["one", "0", "--method", "cot"], "has no search 'cot': it has dvts-n8-m4"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(name: str, store: Path) -> None:
    words, message = MISTAKES[name]
    result = overthink("tree", *words, "--store", str(store))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = overthink("tree", "one", "0", "--store", str(tmp_path / "nowhere"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no store at" in result.stderr


def test_the_command_itself_says_so_without_a_traceback(store: Path) -> None:
    words = ["tree", "two", "0", "--store", str(store)]
    result = subprocess.run([str(COMMAND), *words], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "name one with --method" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
