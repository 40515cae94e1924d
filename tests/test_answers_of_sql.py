"""Answers while they are computed: their size, their names, and what ends them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from overthink.storage.query_limits import QueryLimits
from overthink.storage.sql import query, stream
from overthink.storage.storage_errors import QueryError
from overthink.storage.store import Store

COMMAND = Path(sys.executable).parent / "overthink"
ENDLESS = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c WHERE hash(a.range + b.range) = 7"
LARGE = "SELECT i, repeat('x', 1000) || i AS t FROM range(3000000) t(i)"  # 3 GB


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "runs").mkdir()
    return Store(tmp_path)


def test_names_that_are_there_twice_are_told_apart(store: Store) -> None:
    table = query(store, "SELECT 1 AS x, 2 AS x, 3 AS x_1, 4 AS X")
    assert table.column_names == ["x", "x_2", "x_1", "X"]
    assert table.to_pylist() == [{"x": 1, "x_2": 2, "x_1": 3, "X": 4}]


def test_types_that_arrow_would_change_come_as_text(store: Store) -> None:
    sql = (
        "SELECT 340282366920938463463374607431768211455::UHUGEINT AS x, '01:02:03+02'::TIMETZ AS x, INTERVAL 1 DAY AS y"
    )
    table = query(store, sql)
    assert table.to_pydict() == {
        "x": ["340282366920938463463374607431768211455"],
        "x_1": ["01:02:03+02"],
        "y": ["1 day"],
    }


def test_the_order_of_rows_is_kept(store: Store) -> None:
    ordered = query(store, "SELECT i, INTERVAL 1 DAY FROM range(100000) t(i) ORDER BY hash(i)")["i"]
    assert ordered == query(store, "SELECT i FROM range(100000) t(i) ORDER BY hash(i)")["i"]


def test_an_answer_over_the_limit_is_refused(store: Store) -> None:
    limits = QueryLimits(memory=30_000_000)
    assert query(store, "SELECT i FROM range(100000) t(i)", limits).num_rows == 100_000
    with pytest.raises(QueryError, match=r"^the answer has more than 0\.015 GB: ask for fewer rows or columns$"):
        query(store, "SELECT i FROM range(3000000) t(i)", limits)


def test_the_readers_own_time_does_not_count(store: Store) -> None:
    with stream(store, "SELECT i FROM range(10000) t(i)", QueryLimits(seconds=5.0)) as rows:
        storage_time = time.monotonic()
        first = next(rows.batches)
        time.sleep(0.3)
        rest = list(rows.batches)
    assert first.num_rows + sum(batch.num_rows for batch in rest) == 10_000
    assert time.monotonic() - storage_time >= 0.3


def test_a_stream_over_the_time_limit_is_stopped_in_its_middle(store: Store) -> None:
    sql = "SELECT i, count(*) OVER (PARTITION BY i % 7) FROM range(100000000) t(i)"
    with pytest.raises(QueryError, match="ran longer than"), stream(store, sql, QueryLimits(seconds=0.3)) as rows:
        for _ in rows.batches:
            pass


def test_an_error_in_the_middle_is_one_line(store: Store) -> None:
    sql = "SELECT CASE WHEN i = 90000 THEN error('boom') ELSE i END FROM range(100000) t(i)"
    with pytest.raises(QueryError, match="boom") as caught, stream(store, sql) as rows:
        for _ in rows.batches:
            pass
    assert "\n" not in str(caught.value)


def test_a_stream_that_is_left_early_ends(store: Store) -> None:
    with stream(store, LARGE) as rows:
        assert next(rows.batches).num_rows > 0
    assert query(store, "SELECT 1 AS x") == pa.table({"x": pa.array([1], pa.int32())})


def peak_memory(pid: int) -> int:
    """The most kB that a process held; the system's own figure, at its end, counts what it was forked from too."""
    most = 0
    while found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8")):
        most = max(most, int(found[1]))
        time.sleep(0.01)
    return most


@pytest.mark.parametrize("output", ["csv", "json", "parquet", "table"])
def test_an_answer_larger_than_memory_is_written_in_bounded_memory(store: Store, output: str) -> None:
    arguments = [COMMAND, "sql", LARGE.replace("3000000", "700000"), "--store", store.root, "--format", output]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process, ThreadPoolExecutor() as thread:
        watch = thread.submit(peak_memory, process.pid)
        size = sum(len(piece) for piece in iter(lambda: process.stdout.read(1 << 20), b""))  # type: ignore[union-attr]
        most = watch.result()
    assert process.returncode == 0
    assert size > (10_000 if output in ("table", "parquet") else 700_000_000)
    assert 100_000 < most < 500_000  # kB, of which the command takes 250,000 for SELECT 1


def wait_until_duckdb_is_at_work(pid: int) -> None:
    """Its library is there, and more was computed since than all that is left to import takes."""
    process, deadline = Path(f"/proc/{pid}"), time.monotonic() + 120

    def ticks() -> int:
        return sum(map(int, (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]))

    def wait_for(met: Callable[[], bool]) -> None:
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    wait_for(lambda: "duckdb" in (process / "maps").read_text(encoding="utf-8"))
    before = ticks()
    wait_for(lambda: ticks() > before + 2 * os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sql", [ENDLESS, "SELECT * FROM range(100000000000)"])
def test_a_signal_ends_a_query_at_once(store: Store, number: signal.Signals, code: int, sql: str) -> None:
    arguments = [COMMAND, "sql", sql, "--store", store.root]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_until_duckdb_is_at_work(process.pid)
        assert process.poll() is None
        sent = time.monotonic()
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - sent < 3
    assert "Traceback" not in told
