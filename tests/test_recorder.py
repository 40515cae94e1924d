"""Calls made once: what is on disk before anyone acts on it, and what is replayed."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from storage_samples import call, stored_keys

from overthink.storage.journal import Journal, JournaledCall
from overthink.storage.storage_errors import StorageError
from overthink.tasks.records import Sample, Scores
from overthink.tasks.stages.recorder import Recorder, decode_sample, decode_scores, encode_reply

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TOKENS = st.lists(st.integers(0, 2**31)).map(tuple)
COUNTS = st.integers(0, 2**40)
SAMPLES = st.builds(
    Sample,
    text=st.text(),
    tokens=TOKENS,
    token_ends=TOKENS,
    logprobs=st.lists(FLOATS).map(tuple),
    stop_reason=st.sampled_from(["stop", "length"]),
    prompt_tokens=COUNTS,
    cached_tokens=st.none() | COUNTS,
)
SCORES = st.builds(Scores, values=st.lists(FLOATS).map(tuple), input_tokens=COUNTS, cached_tokens=st.none() | COUNTS)


class GatedJournal(Journal):
    """A journal whose commits wait at a gate, are counted, and can be made to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.failures = 0

    def append(self, calls: Sequence[JournaledCall]) -> None:
        self.arrived.set()
        assert self.gate.wait(10)
        self.batches.append(len(calls))
        self.threads.add(threading.current_thread().name)
        if self.failures:
            self.failures -= 1
            raise StorageError("disk full")
        super().append(calls)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[GatedJournal]:
    opened = GatedJournal(tmp_path / "journal.sqlite")
    yield opened
    opened._connection.close()


async def test_record_returns_only_after_the_commit(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.gate.clear()
    recording = asyncio.create_task(recorder.record(call("k1")))
    await asyncio.to_thread(journal.arrived.wait, 10)
    assert not recording.done()
    assert await asyncio.to_thread(stored_keys, journal.path) == []
    journal.gate.set()
    await recording
    assert stored_keys(journal.path) == ["k1"]


async def test_the_event_loop_goes_on_while_the_disk_is_slow(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.gate.clear()
    recording = asyncio.create_task(recorder.record(call("k1")))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not recording.done()
    journal.gate.set()
    await recording


async def test_calls_that_arrive_together_are_committed_together(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    await asyncio.gather(*(recorder.record(call(f"k{number}")) for number in range(500)))
    assert len(stored_keys(journal.path)) == 500
    assert len(journal.batches) <= 3
    assert sum(journal.batches) == 500


async def test_calls_that_arrive_during_a_commit_wait_for_the_next_one_together(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.gate.clear()
    first = asyncio.create_task(recorder.record(call("first")))
    await asyncio.to_thread(journal.arrived.wait, 10)
    later = [asyncio.create_task(recorder.record(call(f"k{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    journal.gate.set()
    await asyncio.gather(first, *later)
    assert journal.batches == [1, 50]


async def test_the_journal_is_written_from_one_thread_that_is_not_the_loops(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    for number in range(5):
        await recorder.record(call(f"k{number}"))
    assert len(journal.threads) == 1
    assert threading.current_thread().name not in journal.threads


async def test_a_recorded_call_is_replayed_and_counted(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    await recorder.record(call("k1", reply="hello"))
    assert await recorder.replay("k2") is None
    assert recorder.replayed == 0
    assert await recorder.replay("k1") == "hello"
    assert recorder.replayed == 1


async def test_calls_of_an_earlier_life_are_replayed(journal: GatedJournal) -> None:
    journal.append([call("k1", reply="hello")])
    assert await Recorder(journal).replay("k1") == "hello"


async def test_taken_calls_are_those_of_the_shard_and_forgotten_ones_are_not_replayed(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    made = [call("k1", "a", 0), call("k2", "a", 1), call("k3", "b", 0)]
    await asyncio.gather(*map(recorder.record, made))
    assert await recorder.take(("a",), 0, 1) == made[:1]
    await recorder.forget(["k1"])
    assert await recorder.replay("k1") is None
    assert await recorder.take(("a", "b"), 0, 2) == made[1:]


async def test_a_failing_journal_fails_each_caller_and_later_ones_go_on(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.failures = 1
    results = await asyncio.gather(*(recorder.record(call(f"k{n}")) for n in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [StorageError] * 5
    assert await recorder.replay("k0") is None
    await recorder.record(call("k0"))
    assert stored_keys(journal.path) == ["k0"]


async def test_callers_that_wait_behind_a_failing_commit_are_served(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.failures = 1
    journal.gate.clear()
    first = asyncio.create_task(recorder.record(call("first")))
    await asyncio.to_thread(journal.arrived.wait, 10)
    second = asyncio.create_task(recorder.record(call("second")))
    await asyncio.sleep(0)
    journal.gate.set()
    with pytest.raises(StorageError):
        await first
    await second
    assert stored_keys(journal.path) == ["second"]


async def test_a_caller_that_gives_up_does_not_harm_the_others_and_its_call_is_kept(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    journal.gate.clear()
    gone, waiting = (asyncio.create_task(recorder.record(call(key))) for key in ("gone", "waiting"))
    await asyncio.to_thread(journal.arrived.wait, 10)
    gone.cancel()
    journal.gate.set()
    await waiting
    assert await recorder.replay("gone") == "reply to gone"


async def test_a_call_recorded_twice_is_an_error(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    await recorder.record(call("k1"))
    with pytest.raises(StorageError, match="answered twice"):
        await recorder.record(call("k1"))


async def test_close_commits_what_waits_and_an_empty_journal_is_gone(journal: GatedJournal) -> None:
    recorder = Recorder(journal)
    waiting = asyncio.create_task(recorder.record(call("k1")))
    await asyncio.sleep(0)
    await recorder.close()
    assert waiting.done()
    assert stored_keys(journal.path) == ["k1"]

    again = Recorder(Journal(journal.path))
    await again.forget(["k1"])
    await again.close()
    assert not journal.path.exists()


@settings(max_examples=50)
@given(SAMPLES)
@example(Sample("", (), (), (1.7e308, 1.7e308), "stop", 0, None))  # their sum is no number, but each of them is
def test_a_sample_survives_encoding_exactly(sample: Sample) -> None:
    assert repr(decode_sample(encode_reply(sample))) == repr(sample)


@settings(max_examples=50)
@given(SCORES)
def test_scores_survive_encoding_exactly(scores: Scores) -> None:
    assert repr(decode_scores(encode_reply(scores))) == repr(scores)


@settings(max_examples=50)
@given(SAMPLES)
def test_an_encoded_sample_survives_the_journal(sample: Sample) -> None:
    with sqlite3.connect(":memory:") as connection:
        (text,) = connection.execute("SELECT ?", [encode_reply(sample)]).fetchone()
    assert decode_sample(text) == sample


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a number that is not finite"):
        encode_reply(Scores((0.5, float("nan")), 3))
    with pytest.raises(ValueError, match="a number that is not finite"):
        encode_reply(Sample("x", (1,), (1,), (float("nan"),), "stop", 3))
