"""Exports: what others read in them without us, and that they are there whole or not at all."""

import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commanding import overthink
from storage_samples import rollouts_of, run_named

from overthink.storage.exporting import Export
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.query_limits import QueryLimits
from overthink.storage.sql import query
from overthink.storage.storage_errors import QueryError, StorageError
from overthink.storage.store import StageUse, Store
from overthink.storage.views import VIEWS

COMMAND = Path(sys.executable).parent / "overthink"
GOLDEN = Path(__file__).parent / "golden_store" / "v0.1" / "store.tar.xz"
Write = Callable[[Store, Path], object]


def exported(store: Store, *names: str) -> Export:
    runs = [run for run in store.runs() if not names or run.run_id in names]
    return Export(store, runs, QueryLimits(memory=400_000_000, threads=2), lambda _: None)


def tables_of_duckdb(path: Path) -> dict[str, pa.Table]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            name: connection.sql(f"FROM {name}").to_arrow_table()
            for (name,) in connection.sql("SHOW TABLES").fetchall()
        }


def tables_of_parquet(path: Path) -> dict[str, pa.Table]:
    return {each.stem: pq.read_table(each) for each in path.iterdir()}


WAYS = {
    "duckdb": (lambda export, path, force=False: export.to_duckdb(path, force), tables_of_duckdb),
    "parquet": (lambda export, path, force=False: export.to_parquet(path, force), tables_of_parquet),
}


def texts(table: pa.Table) -> list[str]:
    """A table's rows in an order of their own; sums of floats differ in their last digits from query to query."""
    rows = [
        [f"{value:.9g}" if isinstance(value, float) else value for value in row.values()] for row in table.to_pylist()
    ]
    return sorted(map(str, rows))


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(folder, filter="data")
    return Store(folder / "store")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two runs over the same stages: `long` takes 3 samples of 2 problems, `short` 2 samples of one."""
    made, extent = Store(tmp_path / "store"), Extent(("a", "b"), 0, 3)
    for key, units in (("problems-2", "ab"), ("problems-1", "a")):
        rows = [{"problem_set": "sums", "problem_key": unit, "problem_id": f"id-{unit}"} for unit in units]
        made.stage(key).write_part(Extent(tuple(units), 0, 1), {"problems": rows_table("problems", rows)})
    rollouts = rollouts_of(extent)
    made.stage("sample-1").write_part(extent, {"rollouts": rollouts})
    ids = [
        {"rollout_id": one, "step_index": 0, "prm": "judge", "grader": "math"}
        for one in rollouts["rollout_id"].to_pylist()
    ]
    made.stage("score-1").write_part(extent, {"scores": rows_table("scores", ids)})
    made.stage("grade-1").write_part(extent, {"grades": rows_table("grades", ids)})
    for run_id, problems, n in (("long", "problems-2", 3), ("short", "problems-1", 2)):
        uses = [StageUse(kind, f"{kind}-1", f"bon-n{n}", n) for kind in ("sample", "score", "grade")]  # type: ignore[arg-type]
        made.write_run(run_named(run_id, StageUse("problems", problems), *uses))
    return made


@pytest.mark.parametrize("way", WAYS)
def test_an_export_of_a_store_holds_what_sql_answers(golden: Store, tmp_path: Path, way: str) -> None:
    write, read = WAYS[way]
    counts = write(exported(golden), tmp_path / "out")
    found = read(tmp_path / "out")
    assert set(found) == set(VIEWS) == set(counts)
    for name, table in found.items():
        answered = query(golden, f"SELECT * FROM {name}")
        assert (table.column_names, texts(table)) == (answered.column_names, texts(answered)), name
        assert counts[name] == answered.num_rows
    assert sum(counts.values()) > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_duckdb_file_holds_tables_and_nothing_of_ours(store: Store, tmp_path: Path) -> None:
    exported(store).to_duckdb(tmp_path / "out.duckdb")
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print(c.sql('SELECT count(*) FROM duckdb_views() WHERE NOT internal').fetchall()[0][0], "
        "c.sql('SELECT count(*) FROM duckdb_functions() WHERE NOT internal').fetchall()[0][0], "
        "len(c.sql('SELECT * FROM rollouts').df()), 'overthink' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "out.duckdb"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["0", "0", "8", "False"]


@pytest.mark.parametrize("way", WAYS)
def test_an_export_of_a_run_holds_its_own_rows_alone(store: Store, tmp_path: Path, way: str) -> None:
    write, read = WAYS[way]
    write(exported(store, "short"), tmp_path / "out")
    found = read(tmp_path / "out")
    assert found["runs"]["run_id"].to_pylist() == ["short"]
    assert found["problems"]["problem_id"].to_pylist() == ["id-a"]
    for name in ("rollouts", "scores", "grades", "verdicts"):
        assert sorted(found[name]["rollout_id"].to_pylist()) == ["a/0", "a/1"], name


@pytest.mark.parametrize("way", WAYS)
def test_what_is_there_is_replaced_only_where_one_says_so(store: Store, tmp_path: Path, way: str) -> None:
    write, read = WAYS[way]
    write(exported(store, "short"), tmp_path / "out")
    with pytest.raises(StorageError, match=r"out is there already: name another place, or replace .* --force"):
        write(exported(store), tmp_path / "out")
    assert read(tmp_path / "out")["rollouts"].num_rows == 2
    write(exported(store), tmp_path / "out", force=True)
    assert read(tmp_path / "out")["rollouts"].num_rows == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


@pytest.mark.parametrize("force", [False, True])
def test_nothing_but_an_earlier_export_is_replaced(store: Store, tmp_path: Path, force: bool) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    for write, _ in WAYS.values():
        with pytest.raises(StorageError, match=r"mine is there already: name another place$"):
            write(exported(store), folder, force=force)
    with pytest.raises(StorageError, match=r"thesis.txt is there already: name another place$"):
        exported(store).to_parquet(folder / "thesis.txt", force)
    with pytest.raises(StorageError, match=r"thesis.txt is there already: name another place$"):
        exported(store).to_duckdb(folder / "thesis.txt", force)
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "years of work"


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE mine (x INT)",
        "CREATE TABLE runs (x INT); CREATE TABLE rollouts (x INT); CREATE VIEW v AS FROM runs",
        "CHECKPOINT",
    ],
)
def test_another_database_is_not_replaced(store: Store, tmp_path: Path, made: str) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(made)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"mine.duckdb is there already: name another place$"):
        exported(store).to_duckdb(path, force=True)
    assert path.read_bytes() == before


def special(path: Path, kind: str) -> None:
    """A thing that is neither an ordinary file nor a folder."""
    if kind == "device":
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        except PermissionError:
            pytest.skip("devices cannot be made here")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to nothing":
        path.symlink_to(path.with_name("nothing"))
    else:
        path.with_name("folder").mkdir()
        path.symlink_to(path.with_name("folder"))


def what_is_at(path: Path) -> tuple[int, ...]:
    """Kind, number, size and times of change; not the time of access, which a look at a link may move."""
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["device", "pipe", "link to nothing", "link to a folder"])
@pytest.mark.parametrize("way", WAYS)
def test_a_device_a_pipe_and_a_link_stay(store: Store, tmp_path: Path, way: str, kind: str, force: bool) -> None:
    special(tmp_path / "out", kind)
    before = what_is_at(tmp_path / "out")
    with pytest.raises(StorageError, match=r"out is neither an ordinary file nor a folder: name another place$"):
        WAYS[way][0](exported(store), tmp_path / "out", force=force)
    assert what_is_at(tmp_path / "out") == before


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_exported_into_the_store_itself(store: Store, tmp_path: Path, way: str) -> None:
    (tmp_path / "link").symlink_to(store.root)
    for place in (store.root / "runs" / "zz", tmp_path / "link" / "zz", store.root):
        with pytest.raises(StorageError, match=r"is inside the store .*: name a place outside of it$"):
            WAYS[way][0](exported(store), place)
    assert not (store.root / "runs" / "zz").exists()
    assert not (store.root / "zz").exists()


def test_an_empty_folder_is_filled(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    exported(store).to_parquet(tmp_path / "empty")
    assert len(tables_of_parquet(tmp_path / "empty")) == len(VIEWS)


@pytest.mark.parametrize("way", WAYS)
def test_an_export_that_fails_leaves_what_was_there(store: Store, tmp_path: Path, way: str) -> None:
    write, read = WAYS[way]
    write(exported(store, "short"), tmp_path / "out")
    (part,) = store.stage("grade-1").files("grades")
    part.write_bytes(b"PAR1 torn")
    with pytest.raises(QueryError, match=part.name):
        write(exported(store), tmp_path / "out", force=True)
    assert read(tmp_path / "out")["rollouts"].num_rows == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_one_message(store: Store, tmp_path: Path, way: str) -> None:
    """On a real file system of 64 KiB, in mount name spaces of its own."""
    small = tmp_path / "small"
    small.mkdir()
    command = f"{COMMAND} export --{way} {small}/out --store {store.root}"
    script = f"mount -t tmpfs -o size=64k none {small} && {command}; echo code $?; ls -A {small}"
    if subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", small], capture_output=True, check=False
    ).returncode:
        pytest.skip("file systems cannot be mounted here")
    told = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["code", "2"]
    assert told.stderr == f"disk full while writing {small}/out: free space and run the same command again\n"


def test_the_command_says_what_it_wrote_and_what_is_amiss(store: Store, tmp_path: Path) -> None:
    done = overthink("export", "short", "--parquet", tmp_path / "out", "--store", store.root)
    rows = sum(table.num_rows for table in tables_of_parquet(tmp_path / "out").values())
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/out: {len(VIEWS)} tables, {rows} rows, of 1 run\n")
    for words, message in {
        (): "either --duckdb FILE or --parquet DIR",
        ("--duckdb", "a", "--parquet", "b"): "either --duckdb FILE or --parquet DIR",
        ("other", "--duckdb", "a"): "no run named 'other'",
        ("--duckdb", "a", "--memory", "much"): "--memory: 'much' is no size: write one such as 4GB",
    }.items():
        told = overthink("export", *words, "--store", store.root, cwd=tmp_path)
        assert (told.returncode, told.stderr.count("\n")) == (2, 1)
        assert message in told.stderr
    assert sorted(os.listdir(tmp_path)) == ["out", "store"]


def test_an_export_spills_where_it_has_little_memory(store: Store, tmp_path: Path) -> None:
    runs = store.runs()
    few = Export(store, runs, QueryLimits(memory=60_000_000, threads=1), lambda _: None)
    assert few.to_parquet(tmp_path / "out")["rollouts"] == 8
