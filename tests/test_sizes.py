"""The calculation behind docs/sizes.md, and the figures in it."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from storage_samples import rollouts_of

from benchmarks.sizes import Measured, measured, size_of
from overthink.storage.manifest import Extent
from overthink.storage.store import Store

PAGE = (Path(__file__).parents[1] / "docs" / "sizes.md").read_text(encoding="utf-8")
UNIT = Measured(
    steps=6.0,
    tokens=60.0,
    bytes_on_disk={"rollouts": 20.0, "steps": 30.0, "calls": 10.0, "scores": 5.0, "answers": 7.0, "grades": 3.0},
    bytes_in_memory=100.0,
)


def test_a_run_is_counted_by_rollouts_shards_and_length() -> None:
    run = size_of(1000, 4, 300, UNIT, tokens=120.0)
    assert (run.rollouts, run.step_rows, run.calls, run.tokens) == (4000, 48_000, 8000, 480_000.0)
    assert run.tasks == 4 * 3, "four shards, the last of 100 problems, in three stages"
    assert run.files == 4 * (4 + 3 + 3), "a file a table and a manifest entry"
    assert run.parquet == 4000 * (2 * (20 + 30 + 10 + 5) + 7 + 3)
    assert run.select_memory == 4000 * 2 * 100


def test_bytes_a_rollout_are_those_of_the_files(tmp_path: Path) -> None:
    extent = Extent(("a", "b"), 0, 2)
    table = rollouts_of(extent)
    rows = [row | {"step_count": 3, "completion_tokens": 30} for row in table.to_pylist()]
    written = {"rollouts": pa.Table.from_pylist(rows, schema=table.schema)}
    (file,) = Store(tmp_path).stage("sample-1").write_part(extent, written).files
    unit = measured(Store(tmp_path))
    assert (unit.steps, unit.tokens, unit.bytes_on_disk["rollouts"]) == (3.0, 30.0, file.size / 4)


def test_the_page_has_what_the_calculation_gives() -> None:
    """From the bytes a rollout that the page says were measured."""
    told = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|$", PAGE, flags=re.MULTILINE))
    on_disk = {table: float(told[table]) for table in UNIT.bytes_on_disk}
    unit = Measured(steps=6.5, tokens=71.0, bytes_on_disk=on_disk, bytes_in_memory=float(told["select"]))
    rows = re.findall(r"^\| ([\d,]+) × (\d+) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) == 5
    for problems, n, cells in rows:
        rollouts, *_, parquet, files, tasks, memory = [float(cell.replace(",", "")) for cell in cells.split(" | ")]
        run = size_of(int(problems.replace(",", "")), int(n), 500, unit, tokens=500.0)
        assert (rollouts, files, tasks) == (run.rollouts, run.files, run.tasks)
        assert parquet == pytest.approx(run.parquet / 1e9, rel=0.05, abs=0.06)
        assert memory == pytest.approx(run.select_memory / 1e9, rel=0.05, abs=0.06)
