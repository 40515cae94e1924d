"""SQL that writes, reads files or hides either: none of it is run, and no file could be written if it were."""

import hashlib
from pathlib import Path

import pytest
from storage_samples import run_named, write_rollouts

import overthink.storage.sql
from overthink.storage.sql import query
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import StageUse, Store


def listed(name: str) -> list[str]:
    """The statements of a file, one a line; lines that begin with -- are headings."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("--")]


HOSTILE, HARMLESS = listed("hostile.sql"), listed("harmless.sql")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("hostile") / "store")
    write_rollouts(made.stage("sample-1"), "ab", 0, 2)
    problems = StageUse("problems", "problems-1")
    made.write_run(run_named("r", problems, StageUse("sample", "sample-1", "cot", 2)))
    (part,) = made.stage("sample-1").files("rollouts")
    (part.parent / "orphan.rollouts.parquet").write_bytes(part.read_bytes())
    (made.root.parent / "outside.csv").write_text("never shown\n1\n", encoding="utf-8")
    return made


def in_place(sql: str, store: Store) -> str:
    """A line of the list with the paths of a store in it."""
    (part,) = store.stage("sample-1").files("rollouts")
    paths = {
        "part": part,
        "known": f"parts://sample-1/{part.name}",
        "orphan": part.parent / "orphan.rollouts.parquet",
        "folder": part.parent,
        "new": part.parent / "new",
        "outside": store.root.parent / "outside.csv",
    }
    for name, path in paths.items():
        sql = sql.replace("{" + name + "}", str(path))
    return sql


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def test_there_are_more_than_enough_of_them() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 150


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_writes_or_reads_files_is_refused_in_one_line(
    store: Store, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = digests(store.root.parent)
    with pytest.raises(QueryError) as caught:
        query(store, in_place(sql, store))
    assert "\n" not in str(caught.value)
    assert digests(store.root.parent) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", HOSTILE)
def test_nothing_is_written_or_read_even_if_the_statement_is_not_looked_at(
    store: Store, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(overthink.storage.sql, "tables_read", lambda *_: {"rollouts"})
    before = digests(store.root.parent)
    try:
        answer = str(query(store, in_place(sql, store)))
    except QueryError:
        answer = ""
    assert "never shown" not in answer
    assert digests(store.root.parent) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_only_reads_tables_is_answered(store: Store, sql: str) -> None:
    assert query(store, sql).num_columns > 0


def test_what_is_nested_too_deeply_is_told_in_one_line(store: Store) -> None:
    assert query(store, "SELECT " + " + ".join(["1"] * 200) + " AS x").to_pydict() == {"x": [200]}
    with pytest.raises(QueryError, match="nested too deeply"):
        query(store, "SELECT " + " + ".join(["1"] * 800))
