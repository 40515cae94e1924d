"""Answered calls of a shard in a bucket: whoever takes the shard over on another machine has them."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from object_store import BucketView, Network
from storage_samples import call

from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Extent
from overthink.storage.opening import open_store
from overthink.storage.s3.session import Session
from overthink.storage.stages import Shard, Stage
from overthink.storage.storage_errors import LeaseLost

STAGE = labelled_key("sample", {"stage": "sample"})
SHARD = Shard(("a", "b"), (Extent(("a", "b"), 0, 2),))


@pytest.fixture
def stage_on(bucket: BucketView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Stage]:
    monkeypatch.setenv("OVERTHINK_BUCKET_LEASE", "0.3")

    def opened(machine: str) -> Stage:
        monkeypatch.setenv("OVERTHINK_CACHE", str(tmp_path / machine))
        return open_store(bucket.place).stage(STAGE)

    return opened


def ask(stage: Stage, *keys: str) -> None:
    """Some calls of a shard that is then left as it is."""
    with stage.lease(SHARD):
        journal = stage.journals.open(SHARD.name)
        for key in keys:
            journal.append([call(key)])
        journal.close()


def known(stage: Stage) -> set[str]:
    with stage.lease(SHARD):
        journal = stage.journals.open(SHARD.name)
        found = journal.known()
        journal.close()
    return found


def test_what_one_machine_was_answered_another_one_knows(stage_on: Callable[[str], Stage], bucket: BucketView) -> None:
    ask(stage_on("here"), "one", "two")
    there = stage_on("there")
    assert known(there) == {"one", "two"}
    ask(there, "three")
    with there.lease(SHARD):
        journal = there.journals.open(SHARD.name)
        assert list(journal.calls(["a"], 0, 1)) == [call(key) for key in ("one", "three", "two")]
        journal.forget(["one", "two", "three"])
        journal.close()
    assert bucket.list_keys("journals/") == [], "a part holds them"


def test_calls_are_sent_while_the_shard_is_made(
    stage_on: Callable[[str], Stage], bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = stage_on("here"), stage_on("there")
    monkeypatch.setattr("overthink.storage.s3.sent_journals.lease_seconds", lambda: 0.0)
    with here.lease(SHARD):
        journal = here.journals.open(SHARD.name)
        journal.append([call("one")])
        journal._sending.join()
        assert len(bucket.list_keys("journals/")) == 1
        journal.append([call("two")])
    assert known(there) >= {"one"}, "the first machine died here"


def test_an_answer_after_the_lease_was_lost_is_none(stage_on: Callable[[str], Stage], bucket: BucketView) -> None:
    here = stage_on("here")
    with pytest.raises(LeaseLost), here.lease(SHARD):
        journal = here.journals.open(SHARD.name)
        journal.append([call("one")])
        (session,) = bucket.list_keys("sessions/")
        bucket.remove(session)
        _session_of(here).committing("x", b"").__enter__()
    with pytest.raises(LeaseLost):
        journal.append([call("two")])
    journal.close()
    assert bucket.list_keys("journals/") == []


@pytest.mark.parametrize("is_known", [True, False])
def test_calls_that_arrive_after_the_shard_was_finished_elsewhere_do_not_stay(
    is_known: bool, stage_on: Callable[[str], Stage], bucket: BucketView
) -> None:
    here = stage_on("here")
    with suppress(LeaseLost), here.lease(SHARD):
        journal = here.journals.open(SHARD.name)
        journal.append([call("one")])
        (session,) = bucket.list_keys("sessions/")
        journal._send()
        bucket.remove(session)
        if is_known:
            with suppress(LeaseLost):
                _session_of(here).confirm()
        journal.close()
        assert bucket.list_keys("journals/") == []


def _session_of(stage: Stage) -> Session:
    session = stage.journals._session_of(SHARD.name)
    assert session is not None
    return session


def test_a_cut_network_holds_no_call_up(
    stage_on: Callable[[str], Stage], bucket: BucketView, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(bucket.endpoint)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", network.endpoint)
        here = stage_on("here")
    monkeypatch.setattr("overthink.storage.s3.sent_journals.lease_seconds", lambda: 0.0)
    with here.lease(SHARD):
        journal = here.journals.open(SHARD.name)
        network.cut()
        journal.append([call("one")])
        journal._sending.join()
        network.mend()
        journal.append([call("two")])
        journal.close()
    assert known(stage_on("there")) == {"one", "two"}


def test_damaged_calls_are_asked_again(
    stage_on: Callable[[str], Stage], bucket: BucketView, caplog: pytest.LogCaptureFixture
) -> None:
    ask(stage_on("here"), "one")
    ask(stage_on("here"), "two")
    bucket.flip(bucket.list_keys("journals/")[0])
    assert len(known(stage_on("there"))) == 1
    assert "its calls are asked again" in caplog.text
