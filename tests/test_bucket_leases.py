"""Locks and leases of machines that share a bucket: who holds what, who takes over, what a late holder may write."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from object_store import BucketView, Network
from storage_samples import rollouts_of, write_rollouts

from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.opening import open_store
from overthink.storage.s3.bucket import Address, Bucket
from overthink.storage.s3.mirror import Mirror
from overthink.storage.s3.session import Session
from overthink.storage.stages import Shard, Stage
from overthink.storage.storage_errors import BucketUnreachable, LeaseLost, StorageError, StoreBusy
from overthink.storage.store import Store

LEASE = 1.0
IDENTITY = {"stage": "sample"}
STAGE = labelled_key("sample", IDENTITY)
EXTENT = Extent(("a", "b"), 0, 2)
SHARD, NEXT = Shard(EXTENT.units, (EXTENT,)), Shard(("c",), (Extent(("c",), 0, 2),))
Opener = Callable[..., Store]


@pytest.fixture
def machine(bucket: BucketView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens the store as a machine of that name does; a silent one renews nothing, as if it were stopped."""
    monkeypatch.setenv("OVERTHINK_BUCKET_LEASE", str(LEASE))
    renew = Session._keep_renewing
    silent: set[Path] = set()

    def keep_renewing(session: Session) -> None:
        if not any(session._path.is_relative_to(folder) for folder in silent):
            renew(session)

    def opened(name: str, is_silent: bool = False) -> Store:
        monkeypatch.setenv("OVERTHINK_CACHE", str(tmp_path / name))
        if is_silent:
            silent.add(tmp_path / name)
        return open_store(bucket.place)

    monkeypatch.setattr(Session, "_keep_renewing", keep_renewing)
    return opened


def sharing(store: Store, stage: Stage, work: str = "run-1, 2 a shard") -> AbstractContextManager[object]:
    return store.share_stage(stage, work, lambda: stage.describe(IDENTITY))


def soon(attempt: Callable[[], AbstractContextManager[None]]) -> AbstractContextManager[None]:
    """Ask for a lease until it is free, as a worker does."""
    deadline = time.monotonic() + 30
    while True:
        held = attempt()
        try:
            held.__enter__()
        except StoreBusy:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return _entered(held)


@contextmanager
def _entered(held: AbstractContextManager[None]) -> Iterator[None]:
    with ExitStack() as stack:
        stack.push(held)
        yield


def texts(store: Store) -> list[str]:
    return sorted(store.stage(STAGE).table("rollouts")["text"].to_pylist())


def write(stage: Stage, writer: str, extent: Extent = EXTENT) -> None:
    rows = rollouts_of(extent).to_pylist()
    table = rollouts_of(extent).from_pylist([row | {"text": writer} for row in rows], rollouts_of(extent).schema)
    stage.write_part(extent, {"rollouts": table})


def lock_run(store: Store) -> AbstractContextManager[object]:
    return store.lock_run("run-1")


def lock_stage(store: Store) -> AbstractContextManager[object]:
    return store.lock_stage(store.stage(STAGE))


def share_run(store: Store) -> AbstractContextManager[object]:
    return store.share_run("run-1", lambda: None)


@pytest.mark.parametrize("lock", [lock_run, lock_stage])
def test_a_second_machine_is_told_who_writes(
    lock: Callable[[Store], AbstractContextManager[object]], machine: Opener
) -> None:
    here, there = machine("here"), machine("there")
    with lock(here), pytest.raises(StoreBusy, match=r"is being written by process \d+ on .*: wait for it"), lock(there):
        pass
    with lock(there):
        pass


def test_the_shards_of_other_machines_are_listed_with_what_is_left_of_their_leases(machine: Opener) -> None:
    here, there = machine("here"), machine("there")
    here.stage(STAGE).describe(IDENTITY)
    assert there.stage(STAGE).leases() == []
    with here.stage(STAGE).lease(SHARD):
        (held,) = there.stage(STAGE).leases()
        assert (held.shard, held.holder) == (SHARD.name, f"process {os.getpid()} on {socket.gethostname()}")
        assert held.left is not None and held.left < LEASE + 2
        assert abs(time.time() - held.since) < 60
    assert there.stage(STAGE).leases() == []


def test_a_lease_that_is_not_renewed_is_listed_as_run_out(machine: Opener) -> None:
    silent, there = machine("here", is_silent=True), machine("there")
    silent.stage(STAGE).describe(IDENTITY)
    with silent.stage(STAGE).lease(SHARD):
        time.sleep(LEASE + 1.5)  # the bucket's clock has whole seconds
        (held,) = there.stage(STAGE).leases()
        assert held.left is not None and held.left < 0


def test_alone_and_shared_do_not_mix(machine: Opener) -> None:
    here, there = machine("here"), machine("there")
    with share_run(here), pytest.raises(StoreBusy), lock_run(there):
        pass
    with lock_run(here), pytest.raises(StoreBusy), share_run(there):
        pass


def test_who_cuts_other_shards_is_refused(machine: Opener) -> None:
    here, there = machine("here"), machine("there")
    refused = pytest.raises(StoreBusy, match=f"stage {STAGE} is being written by")
    with sharing(here, here.stage(STAGE)), refused, sharing(there, there.stage(STAGE), "run-1, 3 a shard"):
        pass


def test_the_first_prepares_while_the_others_wait(machine: Opener) -> None:
    here, there = machine("here"), machine("there")
    seen: list[str] = []

    def begin() -> None:
        other.start()
        time.sleep(2 * LEASE)
        seen.append("begun")

    def second() -> None:
        with there.share_run("run-1", lambda: seen.append("begun again")):
            seen.append("joined")

    other = threading.Thread(target=second)
    with here.share_run("run-1", begin) as others_left:
        other.join(30)
        assert seen == ["begun", "joined"]
        assert others_left()


def test_a_run_is_known_to_be_written_on_another_machine(machine: Opener) -> None:
    here, there = machine("here"), machine("there")
    assert not there.is_being_written("run-1")
    with lock_run(here):
        assert there.is_being_written("run-1")
    assert not there.is_being_written("run-1")


def test_a_shard_is_held_once_and_free_afterwards(machine: Opener, bucket: BucketView) -> None:
    here, there = (machine(name).stage(STAGE) for name in ("here", "there"))
    with here.lease(SHARD):
        with pytest.raises(StoreBusy), there.lease(SHARD):
            pass
        with there.lease(NEXT):
            pass
        write(here, "here")
    with soon(lambda: there.lease(SHARD)):
        assert there.holds(EXTENT), "what the other made is known before it is made again"
    assert bucket.list_keys("leases/") == []
    assert bucket.list_keys("sessions/") == []


def test_of_a_silent_holder_a_shard_is_taken_over_and_nothing_it_writes_later_counts(
    machine: Opener, bucket: BucketView
) -> None:
    paused, other = machine("paused", is_silent=True), machine("other")
    stage, theirs = paused.stage(STAGE), other.stage(STAGE)
    with (
        sharing(paused, stage),
        pytest.raises(LeaseLost, match="could not renew its lease for 1 s"),
        stage.lease(SHARD),
    ):
        with sharing(other, theirs), soon(lambda: theirs.lease(SHARD)):
            with pytest.raises(LeaseLost):
                write(stage, "paused")
            assert bucket.list_keys("manifest/") == []
            write(theirs, "other")
        write(stage, "paused again")
    assert set(texts(other)) == set(texts(machine("third"))) == {"other"}
    assert not list(paused.root.rglob("unsent/**/*.json")) + list(paused.root.rglob("manifest/*.json"))
    assert bucket.list_keys("sessions/") == []


def test_who_lost_a_lease_joins_again_and_goes_on(machine: Opener) -> None:
    paused, other = machine("paused", is_silent=True), machine("other")
    stage, theirs = paused.stage(STAGE), other.stage(STAGE)
    with sharing(paused, stage), sharing(other, theirs):
        with pytest.raises(LeaseLost), stage.lease(SHARD), soon(lambda: theirs.lease(SHARD)):
            write(theirs, "other")
            write(stage, "paused", NEXT.extents[0])
        with soon(lambda: stage.lease(SHARD)):
            assert stage.holds(EXTENT)
        with stage.lease(NEXT):
            write(stage, "paused", NEXT.extents[0])
    assert set(texts(other)) == {"other"}
    assert set(texts(machine("third"))) == {"other", "paused"}


def test_a_lease_that_was_taken_before_the_loss_was_known_is_left_to_nobody(
    machine: Opener, bucket: BucketView
) -> None:
    stage, theirs = machine("paused", is_silent=True).stage(STAGE), machine("other").stage(STAGE)
    with pytest.raises(LeaseLost), stage.lease(SHARD):
        with soon(lambda: theirs.lease(SHARD)):
            pass
        with stage.lease(NEXT):
            write(stage, "paused", NEXT.extents[0])
    assert bucket.list_keys("leases/") == []


def test_who_comes_back_after_others_were_alone_with_the_stage_is_told(machine: Opener) -> None:
    paused, other = machine("paused", is_silent=True), machine("other")
    with sharing(paused, stage := paused.stage(STAGE)):
        with other.lock_stage(other.stage(STAGE)):
            write_rollouts(other.stage(STAGE), "a", 0, 1)
        with suppress(LeaseLost), stage.lease(NEXT):
            write(stage, "paused", NEXT.extents[0])
        with pytest.raises(StorageError, match="was written by others while this process could not") as told:
            stage.lease(SHARD).__enter__()
        assert not isinstance(told.value, StoreBusy), "a worker does not try this again"


def test_what_was_committed_before_the_end_of_a_session_is_completed_by_who_ends_it(
    machine: Opener, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, other = machine("paused", is_silent=True), machine("other")
    stage, theirs = paused.stage(STAGE), other.stage(STAGE)
    stop = pytest.raises(KeyboardInterrupt)
    with monkeypatch.context() as patch, sharing(paused, stage), stage.lease(SHARD):
        patch.setattr(Mirror, "offer", _interrupted)
        with stop:
            write(stage, "paused")
        patch.undo()
        assert bucket.list_keys("manifest/") == []
        with sharing(other, theirs), soon(lambda: theirs.lease(SHARD)):
            assert theirs.holds(EXTENT), "it was decided"
    assert set(texts(other)) == {"paused"}


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_outage_of_the_bucket_costs_nobody_a_lease(
    machine: Opener, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.endpoint)
    here, there = machine("here"), machine("there")
    stage, theirs = here.stage(STAGE), there.stage(STAGE)
    with sharing(here, stage), sharing(there, theirs), stage.lease(SHARD):
        with pytest.raises(StoreBusy), theirs.lease(SHARD):
            pass
        network.cut()
        with pytest.raises(BucketUnreachable):
            theirs.holds(EXTENT)
        time.sleep(3 * LEASE)
        network.mend()
        deadline = time.monotonic() + 2 * LEASE
        while time.monotonic() < deadline:
            with pytest.raises(StoreBusy), theirs.lease(SHARD):
                pass
            time.sleep(0.02)
        write(stage, "here")
    assert set(texts(machine("third"))) == {"here"}


def test_no_clock_of_a_machine_decides(machine: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = machine("here"), machine("there")
    with here.stage(STAGE).lease(SHARD):
        for hours in (-1e6, 1e6):
            monkeypatch.setattr("overthink.storage.s3.session_watch.time.time", lambda hours=hours: 3600 * hours)
            with pytest.raises(StoreBusy), there.stage(STAGE).lease(SHARD):
                pass


def test_a_process_that_died_here_is_known_to_be_dead_at_once(machine: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overthink.storage.s3.session.Session.close", lambda session: session._file.close())
    monkeypatch.setattr("overthink.storage.s3.bucket_locks.BucketLocks._leave", lambda *_: None)
    machine("here", is_silent=True).lock_run("run-1").__enter__()
    with lock_run(machine("here")):
        pass


def test_a_process_that_ended_without_a_network_is_known_to_be_over_at_once(
    machine: Opener, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is still in the bucket; what it could not send is sent by the next command on this machine."""
    monkeypatch.setenv("OVERTHINK_BUCKET_LEASE", "60")
    network = Network(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.endpoint)
    here = machine("here")
    with pytest.raises(BucketUnreachable), here.lock_stage(stage := here.stage(STAGE)):
        stage.describe(IDENTITY)
        network.cut()
        write(stage, "here")
    assert len(bucket.list_keys("sessions/")) == 1
    network.mend()
    assert texts(machine("here")) == ["here"] * 4
    assert len(bucket.list_keys("manifest/")) == 1
    assert bucket.list_keys("sessions/") == []


def test_a_session_that_nobody_asks_for_is_removed(
    machine: Opener, bucket: BucketView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reach = Bucket(Address.parse(bucket.place), tmp_path)
    lost = Session(reach, tmp_path / "lost", 60.0)
    lost._stopped.set()
    monkeypatch.setattr("overthink.storage.s3.session_watch.FORGOTTEN_SECONDS", 0)
    time.sleep(1.1)  # objects are dated in seconds
    with lock_run(machine("here")):
        assert len(bucket.list_keys("sessions/")) == 1
    with pytest.raises(LeaseLost), lost.committing("x", b"y"):
        pass


def test_only_who_is_alone_with_a_stage_sets_parts_aside(machine: Opener, bucket: BucketView) -> None:
    here, there = machine("here"), machine("there")
    with sharing(here, here.stage(STAGE)):
        write_rollouts(here.stage(STAGE), "ab", 0, 2)
        (part,) = bucket.list_keys("parts/")
        bucket.remove(part)
        with (
            sharing(there, stage := there.stage(STAGE)),
            pytest.raises(StorageError, match="other machines are writing"),
        ):
            stage.verify()
    with here.lock_stage(stage := here.stage(STAGE)):
        stage.verify()
    assert bucket.list_keys("parts/") == [part], "it is sent again from the copy here"


@pytest.mark.parametrize("others", ["are done", "are at it"])
def test_a_part_that_was_not_sent_gives_way_to_what_others_made_or_make(
    others: str, machine: Opener, bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(bucket.endpoint)
    there = machine("there")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", network.endpoint)
        here = machine("here")
    network.cut()
    with pytest.raises(BucketUnreachable):
        write_rollouts(here.stage(STAGE), "ab", 0, 2)
    network.mend()
    with sharing(there, there.stage(STAGE)):
        there.stage(STAGE).describe(IDENTITY)
        if others == "are done":
            write_rollouts(there.stage(STAGE), "a", 0, 4)
        else:
            here.refresh()
            with sharing(here, here.stage(STAGE)):
                pass
    here.refresh()
    assert not list(here.root.rglob("unsent/**/*.json"))
    assert [entry.extent.last for entry in here.stage(STAGE).entries()] == ([4] if others == "are done" else [])


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_the_length_of_a_lease_is_a_number(text: str, machine: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = machine("here")
    monkeypatch.setenv("OVERTHINK_BUCKET_LEASE", text)
    with pytest.raises(StorageError, match="OVERTHINK_BUCKET_LEASE"), lock_run(store):
        pass
