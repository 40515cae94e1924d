"""Shards worked off: some are another process's for a while, and one that fails stops no other."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.runtime import task_run

from overthink.storage.manifest import Cover, Entry
from overthink.storage.stages import Shard, Stage
from overthink.storage.storage_errors import StoreBusy
from overthink.tasks.stages import shards as module
from overthink.tasks.stages.shards import PLAIN_TASK, ShardContext, run_shards, shard_work

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


class Watched(dict[str, Any]):
    """Problems that note who walks through them."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()


async def handed_over(hand_over: Callable[..., Any], context: ShardContext, cover: Cover) -> tuple[Any, str]:
    """What a stage's task is called with by Prefect, and its name there."""
    found: list[Any] = []

    @task(name="watch", task_run_name="watch {cover.name}", **PLAIN_TASK)
    async def watch(given: ShardContext, cover: Cover) -> Entry:
        found.extend((given, task_run.name))
        return Entry(cover, ())

    @flow(persist_result=False)
    async def watching() -> None:
        await hand_over(watch, context)(cover)

    await watching()
    return found[0], found[1]


async def test_prefect_hands_a_shards_work_through_untouched(prefect_server: str, tmp_path: Path) -> None:
    problems, cover = Watched(a=1), Cover(("a",), 0, 1)
    context = ShardContext(Stage(tmp_path), problems, lambda: None)
    given, name = await handed_over(shard_work, context, cover)
    assert given is context
    assert name == f"watch {cover.name}"
    assert problems.walks == 0
    await handed_over(partial, context, cover)
    assert problems.walks > 0, "as it would otherwise"
