"""Files that have no end, or are none: each is one message, and nothing waits for them."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from overthink.tasks.datasets.input_files import json_objects
from overthink.tasks.datasets.labelled import SolutionFile, load_solutions
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.datasets.sources import FileSource
from overthink.tasks.errors import UserError
from overthink.tasks.importers.compute_optimal_tts import read_compute_optimal_tts
from overthink.tasks.importers.mapped_jsonl import parse_mapping, read_mapped_jsonl
from overthink.tasks.importers.search_and_learn import read_search_and_learn
from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
from overthink.tasks.recipes.recipe import Recipe

COLUMNS = parse_mapping(["question=q", "reference=r", "text=t"])
SECONDS = 10


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def tts_record(path: Path) -> None:
    """A result folder beside `path`, in which `path` stands for the configuration."""
    (path.parent / "question_0").mkdir()
    read_compute_optimal_tts(path.parent)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (pipe, "it is a named pipe"),
    "device": (zeros, "it is a device"),
    "socket": (listener, "it is a socket"),
    "folder": (Path.mkdir, "a folder"),
}
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "problems": ("p.jsonl", lambda path: load_problems(FileSource(source="file", path=path))),
    "parquet problems": ("p.parquet", lambda path: load_problems(FileSource(source="file", path=path))),
    "solutions": (
        "s.jsonl",
        lambda path: load_solutions(SolutionFile(source="file", path=path, format="processbench")),
    ),
    "recipe": ("r.yaml", lambda path: read_recipe_of(Recipe, path)),
    "rollouts": ("a.jsonl", lambda path: read_mapped_jsonl(path, COLUMNS, independent=False)),
    "completions": ("a.jsonl", lambda path: read_search_and_learn(path, independent=False)),
    "configuration": ("config.json", tts_record),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_told_and_not_read(place: str, reader: str, tmp_path: Path) -> None:
    make, kind = PLACES[place]
    name, read = READERS[reader]
    path = tmp_path / name
    make(path)
    caught: list[Exception] = []

    def reading() -> None:
        try:
            read(path)
        except Exception as error:  # whatever it is, the test below says what it should be
            caught.append(error)

    thread = threading.Thread(target=reading, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), "it waits for what never comes"
    assert isinstance(caught[0], UserError) and str(path) in str(caught[0]) and kind in str(caught[0])


def test_a_recipe_that_is_a_pipe_is_found_to_be_refused_by_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.yaml")
    assert find_recipe(str(tmp_path / "r.yaml")) == tmp_path / "r.yaml"


def test_a_file_that_grows_while_it_is_read_ends_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "q", "answer": "1"}\n' * 2)
    problems = 0
    for _ in json_objects(path):
        problems += 1
        with path.open("a") as stream:
            stream.write('{"question": "q", "answer": "1"}\n' * 1000)
    assert problems == 2


def test_a_recipe_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with path.open("wb") as stream:
        stream.truncate(2**30)
    with pytest.raises(UserError, match="1,073,741,824 bytes are more than"):
        read_recipe_of(Recipe, path)
