"""Two machines that write the same record of a bucket: one is first, the other takes over what is there or is told."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store import BucketView, Network
from obstore.exceptions import GenericError
from storage_samples import rollouts_of, run_named, write_rollouts

from overthink.storage.manifest import Entry, Extent
from overthink.storage.opening import open_store
from overthink.storage.s3.bucket import Address, Bucket
from overthink.storage.s3.mirror import Mirror, MirroredFile
from overthink.storage.storage_errors import BucketUnreachable, StorageError, WrittenElsewhere
from overthink.storage.store import Run, Store, Sweep

STAGE = f"sample-{'a' * 20}"
RACES = 60


@pytest.fixture
def machine(bucket: BucketView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Store]:
    """Opens the store as a machine of that name does."""

    def opened(name: str) -> Store:
        monkeypatch.setenv("OVERTHINK_CACHE", str(tmp_path / name))
        return open_store(bucket.place)

    return opened


def told_status(bucket: BucketView, run_id: str = "run-1") -> str:
    return str(json.loads(bucket.read(f"runs/{run_id}/run.json"))["status"])


def test_of_two_writers_of_an_object_one_wins(bucket: BucketView, tmp_path: Path) -> None:
    two = [Bucket(Address.parse(bucket.place), tmp_path) for _ in range(2)]
    together = threading.Barrier(2)

    def write(key: str, writer: int, over: str | None) -> bool:
        together.wait()
        return two[writer].write(key, f"{over} {writer}".encode(), over)

    with ThreadPoolExecutor(2) as pool:
        for race in range(RACES):
            over = None
            for _ in ("made", "put in its place"):
                key = f"races/{race}.json"
                won = list(pool.map(write, [key] * 2, range(2), [over] * 2))
                assert sorted(won) == [False, True]
                assert bucket.read(key) == f"{over} {won.index(True)}".encode()
                _, over = two[0].version(key) or (b"", None)


def test_of_two_machines_that_make_the_same_part_one_is_first(
    bucket: BucketView, machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    together, send = threading.Barrier(2), Mirror.send

    def send_together(mirror: Mirror, file: MirroredFile) -> None:
        together.wait()  # both have seen that the bucket has no such entry
        send(mirror, file)

    def write(store: Store, race: int, rows: int) -> Entry:
        extent = Extent((str(race),), 0, 2)
        return store.stage(STAGE).write_part(extent, {"rollouts": rollouts_of(extent).slice(0, rows)})

    monkeypatch.setattr(Mirror, "send", send_together)
    with ThreadPoolExecutor(2) as pool:
        for race in range(RACES):
            ours, theirs = pool.map(write, (here, there), (race, race), (1, 2))
            assert ours == theirs
            assert json.loads(bucket.read(f"stages/{STAGE}/manifest/{ours.extent.name}.json"))["files"][0] == vars(
                ours.files[0]
            )
    tables = [store.stage(STAGE).table("rollouts").sort_by("rollout_id") for store in (here, there)]
    assert tables[0] == tables[1]
    assert RACES <= tables[0].num_rows <= 2 * RACES


def test_of_two_machines_that_begin_the_same_run_the_second_is_told(
    bucket: BucketView, machine: Callable[[str], Store]
) -> None:
    here, there = machine("here"), machine("there")
    here.write_run(run_named("run-1", status="running"))
    with pytest.raises(WrittenElsewhere, match=r"another machine has written s3://.*/runs/run-1/run.json meanwhile"):
        there.write_run(run_named("run-1", status="complete"))
    there.write_run(run_named("run-1", status="running"))  # what is there by now is known, and gone on with
    assert told_status(bucket) == "running"
    there.write_run(run_named("run-1", status="complete"))
    with pytest.raises(WrittenElsewhere):
        here.write_run(run_named("run-1", status="running"))
    assert [run.status for run in here.runs()] == ["complete"] == [told_status(bucket)]
    here.write_run(run_named("run-1", status="failed"))
    assert told_status(bucket) == "failed"


def test_a_failure_does_not_hide_what_another_machine_wrote(
    bucket: BucketView, machine: Callable[[str], Store], caplog: pytest.LogCaptureFixture
) -> None:
    here = machine("here")
    here.write_run(run_named("run-1", status="running"))
    there = machine("there")
    there.write_run(run_named("run-1", status="complete"))
    here.write_run(run_named("run-1", status="failed"))
    assert "that run run-1 failed is not in the bucket" in caplog.text
    assert told_status(bucket) == "complete"


def test_what_was_sent_too_late_gives_way(
    bucket: BucketView,
    machine: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    there, network = machine("there"), Network(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.endpoint)
    here = machine("here")
    here.write_run(run_named("run-1", status="running"))
    there.refresh()
    network.cut()
    here.write_run(run_named("run-1", status="failed"))
    there.write_run(run_named("run-1", status="complete"))
    network.mend()
    again = machine("here")
    assert told_status(bucket) == "complete"
    assert [run.status for run in again.runs()] == ["complete"]
    assert "another machine has written" in caplog.text
    assert not list(again.root.glob("unsent/**/*.json"))


def same_run(store: Store) -> None:
    store.write_run(run_named("run-1"))


def same_sweep(store: Store) -> None:
    store.write_sweep(Sweep("grid-1", "grid", ("run-1",)))


def same_stage(store: Store) -> None:
    store.stage(STAGE).describe({"stage": "sample"})


def same_part(store: Store) -> None:
    write_rollouts(store.stage(STAGE), "ab", 0, 2)


@pytest.mark.parametrize("write", [same_run, same_sweep, same_stage, same_part])
def test_the_same_from_both_is_no_conflict(
    write: Callable[[Store], None],
    bucket: BucketView,
    machine: Callable[[str], Store],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stores = [machine("here"), machine("there")]
    for store in stores:
        write(store)
    assert "another machine" not in caplog.text
    assert not [path for store in stores for path in store.root.glob("unsent/**/*.json")]


def test_a_write_whose_answer_was_lost_is_ours(
    bucket: BucketView, machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, write = machine("here"), Bucket.write
    monkeypatch.setattr(Bucket, "write", lambda *words, **how: write(*words, **how) and False)
    for status in ("running", "complete"):
        here.write_run(run_named("run-1", status=status))
        assert told_status(bucket) == status
    assert not list(here.root.glob("unsent/**/*.json"))


def test_processes_that_share_a_folder_share_what_the_bucket_had(
    bucket: BucketView, machine: Callable[[str], Store]
) -> None:
    one, other = machine("here"), machine("here")
    one.write_run(run_named("run-1", status="running"))
    other.write_run(run_named("run-1", status="complete"))
    assert told_status(bucket) == "complete"


def test_a_version_that_was_sent_but_is_still_marked_is_known(
    bucket: BucketView, machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, unmark = machine("here"), Mirror.unmark
    monkeypatch.setattr(Mirror, "unmark", lambda *_: None)  # as where a process dies just before
    runs: list[Run] = [run_named("run-1", status=status) for status in ("running", "failed", "complete")]
    for run in runs:
        here.write_run(run)
    assert told_status(bucket) == "complete"
    monkeypatch.setattr(Mirror, "unmark", unmark)
    assert [run.status for run in machine("here").runs()] == ["complete"]


def test_a_server_without_conditional_writes_is_told(
    bucket: BucketView, machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine("here")

    def refuse(*words: object, **how: object) -> None:
        raise GenericError("Server returned non-2xx status code: 501 Not Implemented: ")

    monkeypatch.setattr("overthink.storage.s3.bucket.S3Store.put", refuse)
    with pytest.raises(StorageError, match="does not support conditional writes") as told:
        here.write_run(run_named("run-1"))
    assert not isinstance(told.value, BucketUnreachable)
