"""Searches whose engine dies, answers nonsense or is interrupted: what is lost, told and gone on with."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import recipe_of
from search_runs import Row, base, one, rows
from storage_samples import stored_keys

from overthink.flows.evaluate import evaluate
from overthink.flows.orchestration import secret_blocks
from overthink.storage.store import Store
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import BadReply, EngineDied
from overthink.tasks.records import Sample, Scores
from overthink.tasks.stages.shards import ENGINE_TASK


def contents(store: Path) -> dict[str, list[Row]]:
    """Every public table without what only the clock decides."""
    tables = ("problems", "rollouts", "steps", "scores", "nodes", "grades", "selections", "calls", "summary")
    timeless = {"calls": "* EXCLUDE (latency_ms, started_at)"}
    return {name: rows(store, f"SELECT {timeless.get(name, '*')} FROM {name} ORDER BY ALL") for name in tables}


class Mortal:
    """Counts answers; the first life ends after some of them."""

    lives = 0
    answered = 0
    last_answers = 60

    @classmethod
    async def answer(cls, reply: Awaitable[Any]) -> Any:
        if cls.lives == 1 and cls.answered >= cls.last_answers:
            cast(Any, reply).close()
            raise EngineDied("the engine fell over")
        value = await reply
        cls.answered += 1
        return value


class MortalPolicy(FakePolicy):
    async def generate(self, *arguments: Any) -> Sample:
        return cast(Sample, await Mortal.answer(super().generate(*arguments)))


class MortalPrm(FakePrm):
    async def score(self, *arguments: Any) -> Scores:
        return cast(Scores, await Mortal.answer(super().score(*arguments)))


@pytest.mark.parametrize(("opened", "mortal"), [("open_policy", MortalPolicy), ("open_prm", MortalPrm)])
async def test_a_search_whose_engine_dies_is_retried_and_goes_on_where_it_was(
    opened: str,
    mortal: Callable[[Any], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_server: str,
) -> None:
    recipe = recipe_of(base(tmp_path), methods=[{"method": "dvts", "n": 8}])
    await evaluate(recipe, tmp_path / "whole")

    async def opener(config: Any) -> Any:
        Mortal.lives += 1
        return mortal(config)

    monkeypatch.setattr(Mortal, "lives", 0)
    monkeypatch.setattr(Mortal, "answered", 0)
    monkeypatch.setattr(secret_blocks, opened, opener)
    monkeypatch.setitem(ENGINE_TASK, "retry_delay_seconds", [0.01, 0.01, 0.01])
    await evaluate(recipe, tmp_path / "store")
    assert Mortal.lives == 2
    kind = "generate" if mortal is MortalPolicy else "score"
    calls = Counter(row["kind"] for row in rows(tmp_path / "store", "SELECT * FROM calls"))
    assert Mortal.answered == calls[kind] > Mortal.last_answers, "no answered call was made again"
    whole = rows(tmp_path / "whole", "SELECT * FROM nodes")
    found = rows(tmp_path / "store", "SELECT * FROM nodes")
    assert sorted(row["node_id"] for row in found if row["kept"]) == sorted(
        row["node_id"] for row in whole if row["kept"]
    )
    assert len(found) == len(whole)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda values: values[:-1], "gave 0 scores for 1 steps of problem 3"),
        (lambda values: (*values, 0.5), "gave 2 scores for 1 steps of problem 3"),
        (lambda values: (float("nan"),), "gave the score nan for problem 3"),
    ],
    ids=["too few", "too many", "nan"],
)
async def test_a_prm_that_answers_nonsense_in_a_search_stops_the_run_and_nothing_becomes_0(
    spoil: Callable[[tuple[float, ...]], tuple[float, ...]],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_server: str,
) -> None:
    class Forgetful(FakePrm):
        async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
            scores = await super().score(question, steps, from_step)
            if "question 3" in question and from_step == 2:
                return Scores(spoil(scores.values), scores.input_tokens)
            return scores

    async def opener(config: Any) -> Forgetful:
        return Forgetful(config)

    monkeypatch.setattr(secret_blocks, "open_prm", opener)
    store = tmp_path / "store"
    with pytest.raises(BadReply, match=rf"PRM fake@\w+ {reason}"):
        await evaluate(recipe_of(base(tmp_path)), store)
    assert one(store, "SELECT status FROM runs") == "failed"
    assert rows(store, "SELECT DISTINCT problem_id FROM nodes ORDER BY 1") == [
        {"problem_id": problem_id} for problem_id in ("0", "1", "4")
    ], "the shard of problems 2 and 3 is not written, the others are"
    assert one(store, "SELECT count(*) FROM scores WHERE score IS NULL OR score = 0") == 0
    assert one(store, "SELECT count(*) FROM nodes WHERE dropped IS NULL AND (score IS NULL OR score = 0)") == 0
    assert one(store, "SELECT count(*) FROM selections") == 0


async def test_a_cancelled_search_leaves_a_store_to_go_on_with(
    tmp_path: Path, prefect_server: str, count_calls: Counter[str]
) -> None:
    slow = {"engine": "fake", "steps": 6, "latency_ms": 20}
    recipe = recipe_of(base(tmp_path), policy=slow)
    running = asyncio.create_task(evaluate(recipe, tmp_path / "store"))
    while count_calls["generate"] < 60:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (stage,) = [stage for stage in Store(tmp_path / "store").stages() if stage.key.startswith("search-")]
    journaled = sum(len(stored_keys(path)) for path in stage.journals.paths())
    assert journaled > 0
    asked = count_calls.total()
    await evaluate(recipe, tmp_path / "store")
    calls = one(tmp_path / "store", "SELECT count(*) FROM calls")
    assert calls == one(tmp_path / "store", "SELECT count(DISTINCT call_key) FROM calls")
    written = sum(entry.extent.units != () for entry in stage.entries())
    assert written == 3
    assert count_calls.total() - asked <= calls - journaled, "no journaled call was made again"
    whole = recipe_of(base(tmp_path))  # latency determines nothing
    await evaluate(whole, tmp_path / "whole")
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert not list((tmp_path / "store").rglob("*.sqlite*"))
