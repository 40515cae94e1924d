"""Shards worked off: some are another process's for a while, and one that fails stops no other."""

from collections import Counter

import pytest

from overthink.storage.stages import Shard
from overthink.storage.storage_errors import StoreBusy
from overthink.tasks.stages import shards as module
from overthink.tasks.stages.shards import run_shards

SHARDS = [Shard((name,), ()) for name in "abcdef"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


async def test_a_shard_that_another_is_at_comes_up_again_and_holds_up_no_other() -> None:
    order: list[str] = []
    asked: Counter[str] = Counter()

    async def work(shard: Shard) -> None:
        (name,) = shard.units
        asked[name] += 1
        if name == "a" and asked[name] < 4:
            raise StoreBusy("another is at it")
        order.append(name)

    await run_shards(SHARDS, work)
    assert sorted(order) == list("abcdef")
    assert order[0] != "a"
    assert asked["a"] == 4


async def test_one_that_fails_stops_no_other_and_is_told_at_the_end() -> None:
    done: list[str] = []

    async def work(shard: Shard) -> None:
        if shard.units == ("b",):
            raise ValueError("boom")
        done.extend(shard.units)

    with pytest.raises(ValueError, match="boom"):
        await run_shards(SHARDS, work)
    assert sorted(done) == list("acdef")
