"""Shards worked off: some are another process's for a while, and one that fails stops no other."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prefect import flow
from prefect.runtime import task_run
from prefect.utilities.annotations import quote

from overthink.storage.manifest import Entry, Extent
from overthink.storage.stages import Shard
from overthink.storage.storage_errors import StoreBusy
from overthink.tasks.stages import shards as module
from overthink.tasks.stages.node import Problems, ProblemsNode
from overthink.tasks.stages.shards import part_task, run_shards

SHARDS = [Shard((name,), ()) for name in "abcdef"]


@asynccontextmanager
async def room(_: int) -> AsyncIterator[None]:
    yield


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


async def test_a_shard_that_another_is_at_comes_up_again_and_holds_up_no_other() -> None:
    order: list[str] = []
    asked: Counter[str] = Counter()

    async def work(shard: Shard, _: int) -> None:
        (name,) = shard.units
        asked[name] += 1
        if name == "a" and asked[name] < 4:
            raise StoreBusy("another is at it")
        order.append(name)

    await run_shards(SHARDS, work, room)
    assert sorted(order) == list("abcdef")
    assert order[0] != "a"
    assert asked["a"] == 4


async def test_one_that_fails_stops_no_other_and_is_told_at_the_end() -> None:
    done: list[str] = []

    async def work(shard: Shard, _: int) -> None:
        if shard.units == ("b",):
            raise ValueError("boom")
        done.extend(shard.units)

    with pytest.raises(ValueError, match="boom"):
        await run_shards(SHARDS, work, room)
    assert sorted(done) == list("acdef")


class Watched(dict[str, Any]):
    """Problems that note who walks through them."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()


@dataclass(frozen=True)
class Made:
    """Stands for what a part is made with; notes under which name Prefect has it made."""

    problems: Watched
    names: list[str]

    async def __call__(self, extent: Extent) -> Entry:
        self.names.append(task_run.name)
        return Entry(extent, ())


async def handed_over(make: Any, extent: Extent, method_id: str | None = None, n: int = 1) -> None:
    @flow(persist_result=False)
    async def watching() -> None:
        await part_task(ProblemsNode(problems=Problems("set", (), []), method_id=method_id, n=n), 2)(make, extent)

    await watching()


async def test_prefect_hands_what_a_part_is_made_with_through_untouched(prefect_server: str) -> None:
    extent, made = Extent(("a",), 0, 1), Made(Watched(a=1), [])
    await handed_over(quote(made), extent)
    assert made.names == ["problems, shard 3"]
    assert made.problems.walks == 0
    await handed_over(made, extent)
    assert made.problems.walks > 0, "as it would otherwise"


async def test_prefects_page_calls_a_task_by_its_method_and_shard(prefect_server: str) -> None:
    made = Made(Watched(a=1), [])
    await handed_over(quote(made), Extent(("a",), 16, 64), "best_of_n-n64", 64)
    await handed_over(quote(made), Extent(("a",), 0, 1), "odd-{extent}")
    assert made.names == ["problems best_of_n-n64, shard 3, samples 16 up to 64", "problems odd-{extent}, shard 3"]
