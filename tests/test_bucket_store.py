"""A store in a bucket of a real S3 server: written, read and continued by other machines, mended, swept."""

import pytest
from object_store import BucketView
from storage_samples import run_named, write_rollouts

from storage.opening import open_store
from storage.stages import Cover
from storage.store import StageUse, Store

STAGE = f"sample-{'a' * 20}"


def elsewhere(bucket: BucketView, monkeypatch: pytest.MonkeyPatch, name: str = "elsewhere") -> Store:
    """The store as a machine sees it that has nothing yet."""
    monkeypatch.setenv("OVERTHINK_CACHE", str(bucket.cache.with_name(name)))
    return open_store(bucket.place)


def test_a_part_is_sent_before_the_entry_that_names_it(bucket: BucketView) -> None:
    store = open_store(bucket.place)
    store.stage(STAGE).describe({"stage": "sample"})
    entry = write_rollouts(store.stage(STAGE), "ab", 0, 2)
    (file,) = entry.files
    name = file.name.removesuffix(".parquet")
    assert bucket.keys() == [
        f"stages/{STAGE}/manifest/{entry.cover.name}.json",
        f"stages/{STAGE}/parts/{name}-{file.sha256[:16]}.parquet",
        f"stages/{STAGE}/stage.json",
    ]
    times = {each.key: each.last_modified for each in bucket.objects.objects.all()}
    assert not list(store.root.glob("unsent/**/*.json"))


def test_another_machine_reads_what_was_written(bucket: BucketView, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(bucket.place)
    write_rollouts(store.stage(STAGE), "ab", 0, 2)
    store.write_run(run_named("first-1", StageUse("sample", STAGE, "cot", 2)))
    there = elsewhere(bucket, monkeypatch)
    assert [run.run_id for run in there.runs()] == ["first-1"]
    assert there.stage(STAGE).missing("abc", 2, 9) == [Cover(("c",), 0, 2)]
    assert there.stage(STAGE).table("rollouts") == store.stage(STAGE).table("rollouts")
