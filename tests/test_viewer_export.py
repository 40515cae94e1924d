"""`overthink view --export`: the pages as files, each link of which leads to one of them."""

import re
from html import unescape
from pathlib import Path

import pytest
from commanding import overthink
from viewed_store import write_store

from overthink.storage.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported") / "new" / "pages"
    done = overthink("view", store.address, "--export", place)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{place / 'index.html'}: {len(list(place.glob('*.html')))} pages\n"
    return place


def test_every_link_leads_to_a_file(folder: Path) -> None:
    pages = list(folder.glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        links = re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))
        assert [link for link in links if not (folder / unescape(link)).is_file()] == []


def test_the_pages_are_those_of_the_store(folder: Path) -> None:
    texts = {page.name: page.read_text(encoding="utf-8") for page in folder.glob("*.html")}
    assert "2 runs" in texts["index.html"]
    problems = [text for name, text in texts.items() if name.startswith("problem-outvoted-")]
    assert any("which is wrong: the reference is 7." in text for text in problems)
    assert any(name.startswith("tree-outvoted-") for name in texts)
    assert not any("<form class" in text for text in texts.values()), "a file answers no form"
    assert (folder / "static" / "katex" / "LICENSE").is_file()


def test_no_page_is_written_twice(folder: Path) -> None:
    texts = [page.read_text(encoding="utf-8") for page in folder.glob("*.html")]
    assert len(set(texts)) == len(texts)


def test_only_the_named_runs_are_written(store: Store, tmp_path: Path) -> None:
    assert overthink("view", store.address, "--export", tmp_path / "pages", "--run", "second").returncode == 0
    assert "1 run," in (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")


def test_nothing_that_is_there_is_overwritten(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for place in (tmp_path, tmp_path / "mine"):
        done = overthink("view", store.address, "--export", place)
        assert (done.returncode, done.stderr) == (2, f"{place} is there already: name a new folder\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store")
    for part in (tmp_path / "store").rglob("*.rollouts.parquet"):
        part.unlink()
    done = overthink("view", store.address, "--export", tmp_path / "pages")
    assert done.returncode == 2
    assert "is missing: run its recipe again, which rebuilds it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_run_is_named_for_an_export_alone(store: Store) -> None:
    done = overthink("view", store.address, "--run", "first")
    assert (done.returncode, done.stderr) == (2, "--run goes with --export: the viewer itself shows all runs\n")
