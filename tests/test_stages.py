"""Parts that are whole or absent, what is missing, and what happens to damaged ones."""

import errno
import json
import os
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_samples import pairs, rollouts_of, tree, write_entry_only, write_rollouts

import overthink.storage.stages
from overthink.storage.files import sha256_of
from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Entry, Extent
from overthink.storage.schemas import SCHEMAS
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError

UNITS = "abcdef"
IDENTITY = {"stage": "sample"}
SAMPLE = labelled_key("sample", IDENTITY)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / SAMPLE)


def states(stage: Stage) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(stage.folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in stage.folder.rglob("*")
        if path.is_file()
    }


def test_a_stage_that_never_began_has_nothing(stage: Stage) -> None:
    assert stage.entries() == []
    assert stage.files("rollouts") == []
    assert stage.table("rollouts").schema == SCHEMAS["rollouts"]
    assert stage.missing("ab", 2, 10) == [Extent(("a", "b"), 0, 2)]


def test_rows_come_back_as_written(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 2)
    write_rollouts(stage, "c", 0, 2)
    rows = stage.table("rollouts").sort_by("rollout_id").to_pylist()
    assert rows == rollouts_of(Extent(("a", "b", "c"), 0, 2)).sort_by("rollout_id").to_pylist()
    assert stage.table("rollouts").schema == SCHEMAS["rollouts"]


@pytest.fixture
def written_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage with a part of samples 0 and 1 that an earlier version wrote, whose schema had two columns less."""
    now = SCHEMAS["rollouts"]
    early = pa.schema([field for field in now if field.name not in ("logprob_sum", "stop_reason")])
    with monkeypatch.context() as patch:
        patch.setitem(SCHEMAS, "rollouts", early)
        extent = Extent(("a", "b"), 0, 2)
        stage.write_part(extent, {"rollouts": rollouts_of(extent).select(early.names)})
    return stage


def test_a_part_without_a_column_of_today_reads_with_null_in_it(written_before: Stage) -> None:
    table = written_before.table("rollouts")
    assert table.schema == SCHEMAS["rollouts"]
    assert table["rollout_id"].to_pylist() == ["a/0", "a/1", "b/0", "b/1"]
    assert table["logprob_sum"].to_pylist() == [None] * 4


def test_parts_with_and_without_a_column_read_together(written_before: Stage) -> None:
    write_rollouts(written_before, "ab", 2, 3)
    table = written_before.table("rollouts")
    assert table.schema == SCHEMAS["rollouts"]
    found = dict(zip(table["rollout_id"].to_pylist(), table["logprob_sum"].to_pylist(), strict=True))
    assert found == {"a/0": None, "a/1": None, "b/0": None, "b/1": None, "a/2": -0.2, "b/2": -0.2}
    assert written_before.verify() is None and len(written_before.entries()) == 2, "neither is damaged"


def test_an_entry_tells_rows_size_and_digest_of_its_files(stage: Stage) -> None:
    entry = write_rollouts(stage, "ab", 0, 2)
    (path,), (part_file,) = stage.files("rollouts"), entry.files
    assert (part_file.rows, part_file.size, part_file.sha256) == (4, path.stat().st_size, sha256_of(path))
    assert stage.entries() == [entry]


def test_a_part_may_hold_several_tables(stage: Stage) -> None:
    extent = Extent(("a",), 0, 1)
    stage.write_part(extent, {"rollouts": rollouts_of(extent), "steps": SCHEMAS["steps"].empty_table()})
    assert [len(stage.files(name)) for name in ("rollouts", "steps", "scores")] == [1, 1, 0]


def test_a_table_of_other_columns_is_refused_and_does_not_count(stage: Stage) -> None:
    with pytest.raises(ValueError, match="names"):
        stage.write_part(Extent(("a",), 0, 1), {"rollouts": pa.table({"x": [1]})})
    assert stage.missing("a", 1, 1) == [Extent(("a",), 0, 1)]
    assert list(stage.folder.rglob("*.*")) == []


def test_digests_are_those_of_a_table_or_of_some_units(stage: Stage) -> None:
    one, two = write_rollouts(stage, "ab", 0, 1), write_rollouts(stage, "c", 0, 1)
    assert set(stage.digests("rollouts")) == {one.files[0].sha256, two.files[0].sha256}
    assert stage.digests("rollouts", ["c"]) == (two.files[0].sha256,)
    assert stage.digests("rollouts", []) == stage.digests("steps") == ()
    assert stage.table("rollouts", ["c"])["rollout_id"].to_pylist() == ["c/0"]
    assert stage.table("rollouts", ["b"])["rollout_id"].to_pylist() == ["a/0", "b/0"], "whole parts"


def test_the_same_work_has_the_same_name_and_other_work_another() -> None:
    names = {Extent(tuple(units), first, 9).name for units, first in product(("ab", "ba", "a"), (0, 1))}
    assert len(names) == 6
    assert Extent(("a", "b"), 0, 9).name in names


def test_what_determines_a_stage_is_written_once(stage: Stage) -> None:
    stage.describe(IDENTITY)
    stage.describe({"stage": "other"})
    assert json.loads((stage.folder / "stage.json").read_text(encoding="utf-8")) == IDENTITY


def test_more_samples_ask_only_for_the_new_ones(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 2)
    assert stage.missing("ab", 5, 10) == [Extent(("a", "b"), 2, 5)]


def test_fewer_samples_ask_for_nothing(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 8)
    assert stage.missing("ba", 4, 1) == []


def test_more_problems_ask_only_for_the_new_ones(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 2)
    assert stage.missing("cab", 2, 10) == [Extent(("c",), 0, 2)]


def test_another_shard_size_cuts_only_what_is_left(stage: Stage) -> None:
    write_rollouts(stage, "abc", 0, 2)
    assert stage.missing(UNITS, 2, 2) == [Extent(("d",), 0, 2), Extent(("e", "f"), 0, 2)]


STEPS = st.lists(
    st.tuples(st.sets(st.sampled_from(UNITS), min_size=1), st.integers(1, 6), st.integers(1, 7), st.integers(0, 63)),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 6), st.integers(1, 7))
def test_missing_is_exactly_what_no_part_holds_however_a_run_grew(
    steps: list[tuple[set[str], int, int, int]], samples: int, shard_size: int
) -> None:
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        held: set[tuple[str, int]] = set()
        for units, reach, size, done in steps:
            for number, extent in enumerate(stage.missing(sorted(units), reach, size)):
                if done >> number & 1:
                    assert held.isdisjoint(pairs([extent]))
                    held.update(pairs([extent]))
                    write_entry_only(stage, extent)
        missing = stage.missing(UNITS, samples, shard_size)
        assert pairs(missing) == sorted(set(product(UNITS, range(samples))) - held)
        assert all(len(extent.units) <= shard_size for extent in missing)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 3))), st.integers(1, 8), st.integers(1, 3))
def test_missing_is_exactly_what_no_part_holds_whatever_parts_are_left(
    kept: set[tuple[str, int]], samples: int, shard_size: int
) -> None:
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        extents = [Extent((unit,), 2 * block, 2 * block + 2) for unit, block in kept]
        for extent in extents:
            write_entry_only(stage, extent)
        wanted = set(product("ab", range(samples))) - set(pairs(extents))
        assert pairs(stage.missing("ab", samples, shard_size)) == sorted(wanted)


def test_a_lost_first_part_does_not_make_the_samples_after_it_twice(stage: Stage) -> None:
    write_rollouts(stage, "a", 0, 2)
    write_rollouts(stage, "a", 2, 4)
    (stage.parts_folder / f"{Extent(('a',), 0, 2).name}.rollouts.parquet").unlink()
    stage.verify()
    for extent in stage.missing("a", 4, 1):
        stage.write_part(extent, {"rollouts": rollouts_of(extent)})
    assert sorted(stage.table("rollouts")["sample_index"].to_pylist()) == [0, 1, 2, 3]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_byte, "has other bytes than were written"),
        (truncate, r"has \d+ bytes instead of \d+"),
        (Path.unlink, "is missing"),
    ],
)
def test_a_damaged_part_is_set_aside_alone_and_asked_for_again(
    stage: Stage, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], reason: str
) -> None:
    stage.describe(IDENTITY)
    write_rollouts(stage, "ab", 0, 2)
    entry = write_rollouts(stage, "cd", 0, 2)
    write_rollouts(stage, "e", 0, 2)
    name = entry.files[0].name
    damage(stage.parts_folder / name)
    before = states(stage)

    stage.verify()

    assert stage.missing("abcde", 2, 9) == [Extent(("c", "d"), 0, 2)]
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert f"{SAMPLE}: {name}" in warning.message
    assert re.search(reason, warning.message)
    moved = {path for path in before if entry.extent.name in path}
    after = states(stage)
    assert {path: after[path] for path in before if path not in moved} == {
        path: state for path, state in before.items() if path not in moved
    }
    assert set(after) - set(before) == {f"set-aside/{Path(path).name}" for path in moved}


def test_a_part_made_again_after_damage_is_as_it_was(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 2)
    entry = write_rollouts(stage, "cd", 0, 2)
    flip_a_byte(stage.parts_folder / entry.files[0].name)
    stage.verify()
    write_rollouts(stage, "cd", 0, 2)
    stage.verify()
    assert stage.missing("abcd", 2, 9) == []
    assert stage.table("rollouts").num_rows == 8


def test_one_damaged_table_takes_the_whole_part_with_it(stage: Stage) -> None:
    extent = Extent(("a",), 0, 1)
    entry = stage.write_part(extent, {"rollouts": rollouts_of(extent), "steps": SCHEMAS["steps"].empty_table()})
    flip_a_byte(stage.parts_folder / entry.files[1].name)
    stage.verify()
    assert stage.files("rollouts") == stage.files("steps") == []
    assert not list(stage.parts_folder.iterdir())


def test_a_part_damaged_twice_can_be_set_aside_twice(stage: Stage) -> None:
    for _ in range(2):
        entry = write_rollouts(stage, "a", 0, 1)
        truncate(stage.parts_folder / entry.files[0].name)
        stage.verify()
    assert stage.missing("a", 1, 1) == [Extent(("a",), 0, 1)]


def test_a_part_without_its_manifest_entry_does_not_exist(stage: Stage) -> None:
    write_rollouts(stage, "ab", 0, 2)
    entry = write_rollouts(stage, "c", 0, 2)
    (stage.manifest_folder / f"{entry.extent.name}.json").unlink()
    assert len(stage.files("rollouts")) == 1
    stage.verify()
    assert stage.missing("abc", 2, 9) == [Extent(("c",), 0, 2)]
    assert [path.name for path in stage.parts_folder.iterdir()] == [stage.files("rollouts")[0].name]


def test_whole_parts_are_left_alone_without_a_word(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    write_rollouts(stage, "ab", 0, 2)
    before = states(stage)
    stage.verify()
    stage.verify(frozenset())
    assert states(stage) == before
    assert not caplog.records


def test_a_stage_that_never_began_is_whole(stage: Stage) -> None:
    stage.verify(frozenset())
    assert not stage.folder.exists()


def test_parts_whose_sources_are_gone_are_set_aside(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for unit, sources in (("a", ["1"]), ("b", ["1", "2"]), ("c", [])):
        extent = Extent((unit,), 0, 1)
        stage.write_part(extent, {"rollouts": rollouts_of(extent)}, sources)
    stage.verify(frozenset({"1", "3"}))
    assert stage.missing("abc", 1, 9) == [Extent(("b",), 0, 1)]
    (warning,) = caplog.records
    assert "made again" in warning.message


def test_orphans_and_temporaries_are_swept(stage: Stage) -> None:
    write_rollouts(stage, "a", 0, 1)
    before = tree(stage.folder)
    (stage.folder / ".stage.json.partial").touch()
    (stage.manifest_folder / ".x.json.partial").touch()
    (stage.parts_folder / ".x.rollouts.parquet.partial").touch()
    (stage.parts_folder / "x.rollouts.parquet").touch()
    stage.verify()
    assert tree(stage.folder) == before


def test_the_journal_survives_a_sweep(stage: Stage) -> None:
    stage.journals.open("shard")
    stage.verify()
    assert stage.journals.paths() == [stage.folder / "journals" / "shard.sqlite"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "3", "{}", '{"cover": 3}', '{"cover": {"units": [], "first": 0, "last": 1}, "files": [1]}'],
)
def test_a_damaged_manifest_entry_is_an_error_that_names_the_file_and_touches_nothing(
    stage: Stage, content: str
) -> None:
    write_rollouts(stage, "a", 0, 1)
    path = stage.manifest_folder / "000000-000009-damaged.json"
    path.write_text(content, encoding="utf-8")
    before = states(stage)
    with pytest.raises(StorageError, match=r"000000-000009-damaged\.json.*delete"):
        stage.verify()
    assert states(stage) == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("failing_at", range(1, 7))
def test_a_disk_that_fails_at_any_sync_leaves_nothing_that_counts_as_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, failing_at: int, code: int
) -> None:
    extent, count, fsync = Extent(("a",), 0, 1), [0], os.fsync

    def failing(descriptor: int) -> None:
        count[0] += 1
        if count[0] == failing_at:
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    tables = {"rollouts": rollouts_of(extent), "steps": SCHEMAS["steps"].empty_table()}
    stage.parts_folder.mkdir(parents=True)
    stage.manifest_folder.mkdir()
    with monkeypatch.context() as patched, pytest.raises(StorageError, match=r"sample-8b80.*same command again"):
        patched.setattr(os, "fsync", failing)
        stage.write_part(extent, tables)
    assert not list(stage.folder.rglob("*.partial"))
    entry_is_there = failing_at == 6  # only the folder's own sync failed: the entry's file is already whole
    assert stage.missing("a", 1, 1) == ([] if entry_is_there else [extent])
    stage.verify()
    stage.write_part(extent, tables)
    assert stage.table("rollouts").num_rows == 1


def test_a_full_disk_under_parquet_is_told(stage: Stage) -> None:
    extent = Extent(("a",), 0, 1)
    stage.parts_folder.mkdir(parents=True)
    (stage.parts_folder / f".{extent.name}.rollouts.parquet.partial").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=f"disk full while writing .*{extent.name}"):
        stage.write_part(extent, {"rollouts": rollouts_of(extent)})
    assert not list(stage.parts_folder.iterdir())


def test_a_disk_that_cannot_be_read_is_told_with_the_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = write_rollouts(stage, "a", 0, 1)

    def failing(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(overthink.storage.stages, "sha256_of", failing)
    with pytest.raises(StorageError, match=entry.extent.name):
        stage.verify()


def test_no_partial_file_is_seen_as_parquet(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    write_table = pq.write_table

    def watching(table: pa.Table, path: Path, **options: str) -> None:
        write_table(table, path, **options)
        seen.extend(stage.parts_folder.glob("*.parquet"))

    monkeypatch.setattr(pq, "write_table", watching)
    write_rollouts(stage, "a", 0, 1)
    assert seen == []


def test_a_stage_as_it_stands_reads_its_manifest_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for units in ("ab", "cd", "ef"):
        write_rollouts(stage, units, 0, 2)
    write_rollouts(stage, "bc", 2, 3)
    read: list[Path] = []
    monkeypatch.setattr(Entry, "read", partial(counted, Entry.read, read))
    standing = stage.as_it_stands()
    for units in (*"abcdef", "bd", "x", None):
        assert standing.files("rollouts", units) == stage.files("rollouts", units)
        assert standing.digests("rollouts", units) == stage.digests("rollouts", units)
    assert len(read) == 4 + 4 * 2 * 9  # the other stage reads them at each question
    write_rollouts(stage, "g", 0, 2)
    assert (len(standing.files("rollouts")), len(stage.files("rollouts"))) == (4, 5)


def counted(read: Callable[[Path], Entry], calls: list[Path], path: Path) -> Entry:
    calls.append(path)
    return read(path)
