"""The flow `sweep` on fake engines: what its runs share, how often engines are loaded, and what a failure stops."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from search_runs import Row, one, rows

import overthink.flows.orchestration.sweep_engines as engines
from overthink.flows.evaluate import evaluate
from overthink.flows.sweep import sweep
from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Store
from overthink.tasks.engines.engine_config import FakePrmConfig
from overthink.tasks.engines.fakes.fake import FakePolicy, FakePrm
from overthink.tasks.errors import BadReply, CellsFailed, EngineUnavailable, ProblemError, UserError
from overthink.tasks.plan.sweep_plan import plan_sweep
from overthink.tasks.recipes.sweep_recipe import SweepRecipe
from overthink.tasks.records import Scores

pytestmark = pytest.mark.usefixtures("prefect_server")

PROBLEMS = 3
BEST_OF_4 = {"method": "best_of_n"}
DVTS = {"method": "dvts"}
TWO_POLICIES = [{"engine": "fake", "steps": 2}, {"engine": "fake", "steps": 3}]


@pytest.fixture
def base(tmp_path: Path) -> Row:
    """One problem set and one policy; two PRMs, `fake` and `other`, both stand-ins."""
    other = tmp_path / "other.json"
    other.write_text("{}")
    return {
        "name": "grid",
        "problems": [{"source": "chains", "count": PROBLEMS}],
        "policies": [{"engine": "fake"}],
        "prms": [{"engine": "fake"}, {"engine": "scripted", "script": str(other)}],
        "methods": [{"method": "cot"}, BEST_OF_4],
        "budgets": [4],
        "sampling": {"max_tokens": 256},
    }


def grid(base: Row, **changes: Any) -> SweepRecipe:
    return SweepRecipe.model_validate(base | changes)


class Loaded:
    """Which engines are loaded now, and all that ever were, in order."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.ever: list[str] = []
        self.most = 0

    def opener(self, role: str, kind: Callable[[Any], Any]) -> Any:
        async def open_engine(config: Any) -> Any:
            engine = kind(config)
            name = f"{role} {getattr(config, 'steps', config.engine)}"
            self.now.append(name)
            self.ever.append(name)
            self.most = max(self.most, len(self.now))

            async def close() -> None:
                self.now.remove(name)

            engine.close = close
            return engine

        return open_engine


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Fakes stand in for all engines, and are counted."""
    counted = Loaded()
    monkeypatch.setattr(engines, "open_policy", counted.opener("policy", FakePolicy))
    monkeypatch.setattr(engines, "open_prm", counted.opener("prm", any_fake))
    return counted


def any_fake(config: Any) -> FakePrm:
    """A fake PRM for any config."""
    return FakePrm(FakePrmConfig())


@contextmanager
def broken_prm(monkeypatch: pytest.MonkeyPatch, engine: str, prm: Callable[[Any], Any]) -> Iterator[None]:
    """For a while the PRM of one kind is another one, or its opener raises."""

    async def opener(config: Any) -> Any:
        return prm(config) if config.engine == engine else any_fake(config)

    with monkeypatch.context() as patched:
        patched.setattr(engines, "open_prm", opener)
        yield


class NoSearches(FakePrm):
    """Answers about whole solutions, and refuses to judge a beginning."""

    def __init__(self, _: Any) -> None:
        super().__init__(FakePrmConfig())

    async def score(self, question: str, steps: tuple[str, ...], from_step: int) -> Scores:
        if "\\boxed" not in steps[-1]:
            raise BadReply("this PRM cannot judge an unfinished solution")
        return await super().score(question, steps, from_step)


async def test_rollouts_are_drawn_once_for_all_prms_and_a_finished_sweep_loads_nothing(
    base: Row, tmp_path: Path, loaded: Loaded, count_calls: Counter[str]
) -> None:
    recipe, store = grid(base, policies=TWO_POLICIES), tmp_path / "store"
    sweep_id = await sweep(recipe, store)
    assert count_calls["generate"] == 2 * PROBLEMS * (1 + 4)
    assert one(store, "SELECT count(*) FROM runs WHERE status = 'complete'") == 4
    assert one(store, "SELECT count(*) FROM rollouts") == 4 * PROBLEMS * (1 + 4)
    assert one(store, "SELECT count(DISTINCT rollout_id) FROM rollouts") == 2 * PROBLEMS * (1 + 4)
    # Without a search every engine is loaded once, and alone.
    assert loaded.ever == ["policy 2", "policy 3", "prm fake", "prm scripted"]
    assert (loaded.most, loaded.now) == (1, [])
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.parquet")}
    manifests = {path: path.read_bytes() for path in store.glob("runs/*/run.json")}
    loaded.ever.clear()
    assert not plan_sweep(recipe, False).unfinished(Store(store))
    assert await sweep(recipe, store) == sweep_id
    assert loaded.ever == []
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.parquet")} == before
    assert {path: path.read_bytes() for path in manifests} == manifests


@pytest.mark.usefixtures("loaded")
async def test_each_run_is_what_it_would_be_alone(base: Row, tmp_path: Path) -> None:
    problems = [{"source": "chains", "count": PROBLEMS}, {"source": "chains", "count": 3, "split": "validation"}]
    recipe = grid(base, problems=problems, prms=[{"engine": "fake"}], methods=[{"method": "cot"}, BEST_OF_4, DVTS])
    await sweep(recipe, tmp_path / "together")
    for each in recipe.recipes():
        run_id = await evaluate(each, tmp_path / "alone")
        for table in ("rollouts", "selections", "nodes", "summary"):
            sql = f"SELECT * FROM {table} WHERE run_id = '{run_id}' ORDER BY ALL"
            assert rows(tmp_path / "together", sql) == rows(tmp_path / "alone", sql) != []


async def test_from_pair_to_pair_of_a_search_one_engine_is_loaded(base: Row, tmp_path: Path, loaded: Loaded) -> None:
    problems = [{"source": "chains", "count": 1}, {"source": "chains", "count": 1, "split": "validation"}]
    await sweep(grid(base, problems=problems, policies=TWO_POLICIES, methods=[BEST_OF_4, DVTS]), tmp_path / "store")
    assert loaded.ever == ["policy 2", "prm fake", "prm scripted", "policy 3", "prm fake"]
    assert (loaded.most, loaded.now) == (2, [])
    assert one(tmp_path / "store", "SELECT count(*) FROM runs WHERE status = 'complete'") == 8


async def test_engines_that_do_not_fit_together_are_never_both_loaded(
    base: Row, tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "overfull_gpu", lambda policy, prm: (0, 1.8))
    await sweep(grid(base, policies=TWO_POLICIES, methods=[BEST_OF_4, DVTS]), tmp_path / "store")
    assert loaded.most == 1


async def test_a_cell_that_fails_stops_no_other_and_resuming_does_only_what_is_missing(
    base: Row, tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch, count_calls: Counter[str]
) -> None:
    store, recipe = tmp_path / "store", grid(base, methods=[{"method": "cot"}, DVTS, BEST_OF_4])
    with broken_prm(monkeypatch, "scripted", NoSearches), pytest.raises(CellsFailed) as caught:
        await sweep(recipe, store)
    assert [failure.rsplit(": ", 3)[1:] for failure in caught.value.failures] == [
        ["dvts-n4-m4", "BadReply", "this PRM cannot judge an unfinished solution"]
    ]
    assert rows(store, "SELECT split_part(prm, '@', 1) AS prm, status FROM runs ORDER BY ALL") == [
        {"prm": "fake", "status": "complete"},
        {"prm": "scripted", "status": "failed"},
    ]
    finished = "SELECT DISTINCT split_part(prm, '@', 1) AS prm, method_id FROM summary JOIN runs USING (run_id)"
    assert {tuple(row.values()) for row in rows(store, finished)} == {
        *(("fake", method_id) for method_id in ("cot", "best_of_n-n4", "dvts-n4-m4")),
        *(("scripted", method_id) for method_id in ("cot", "best_of_n-n4")),
    }
    count_calls.clear()
    loaded.ever.clear()
    await sweep(recipe, store)
    assert loaded.ever == ["policy 4", "prm scripted"]
    new = "FROM calls JOIN runs USING (run_id) WHERE method_id LIKE 'dvts%' AND prm LIKE 'scripted%'"
    whole = rows(store, f"SELECT kind, count(DISTINCT call_key) AS calls {new} GROUP BY kind ORDER BY kind")
    # The first steps were drawn and journaled before the PRM refused.
    assert 0 < count_calls["generate"] < whole[0]["calls"]
    assert count_calls["score"] <= whole[1]["calls"]
    assert one(store, "SELECT count(*) FROM runs WHERE status = 'complete'") == 2


async def test_a_failure_in_what_all_prms_share_fails_that_method_for_all(
    base: Row, tmp_path: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnlyGreedy(FakePolicy):
        async def generate(self, question: str, path: Any, sampling: Any, seed: int) -> Any:
            if sampling.temperature:
                raise BadReply("this policy draws no lots")
            return await super().generate(question, path, sampling, seed)

    monkeypatch.setattr(engines, "open_policy", loaded.opener("policy", OnlyGreedy))
    with pytest.raises(CellsFailed) as caught:
        await sweep(grid(base), tmp_path / "store")
    assert len(caught.value.failures) == 2
    assert all("best_of_n-n4: BadReply: this policy draws no lots" in failure for failure in caught.value.failures)
    assert rows(tmp_path / "store", "SELECT DISTINCT method_id FROM summary") == [{"method_id": "cot"}]


@pytest.mark.usefixtures("loaded")
async def test_an_engine_that_cannot_be_loaded_is_tried_once_and_fails_its_own_cells_alone(
    base: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def unavailable(config: Any) -> Any:
        tried.append(config.engine)
        raise EngineUnavailable("not enough memory for this PRM")

    with broken_prm(monkeypatch, "scripted", unavailable), pytest.raises(CellsFailed) as caught:
        await sweep(grid(base, methods=[{"method": "cot"}, BEST_OF_4, DVTS]), tmp_path / "store")
    assert tried == ["scripted"]
    assert len(caught.value.failures) == 3
    assert one(tmp_path / "store", "SELECT prm LIKE 'fake%' FROM runs WHERE status = 'complete'")


async def test_a_larger_grid_does_only_what_is_new(
    base: Row, tmp_path: Path, loaded: Loaded, count_calls: Counter[str]
) -> None:
    store = tmp_path / "store"
    first = await sweep(grid(base, prms=[{"engine": "fake"}]), store)
    asked = dict(count_calls)
    second = await sweep(grid(base), store)
    assert count_calls["generate"] == asked["generate"]
    assert count_calls["score"] == 2 * asked["score"], "the second PRM reads the same rollouts"
    found = {name: {run.run_id for run in Store(store).find_runs(name)} for name in (first, second)}
    assert len(found[first]) == 1 and len(found[second]) == 2
    assert found[first] < found[second]


@pytest.mark.usefixtures("loaded")
async def test_a_cancelled_sweep_goes_on_without_repeating_a_call(
    base: Row, tmp_path: Path, count_calls: Counter[str]
) -> None:
    slow = [{"engine": "fake", "latency_ms": 20}]
    recipe, store = grid(base, policies=slow, methods=[BEST_OF_4, DVTS]), tmp_path / "store"
    running = asyncio.create_task(sweep(recipe, store))
    while count_calls["generate"] < 20:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {run.status for run in Store(store).runs()} == {"running"}
    asked = count_calls.total()
    await sweep(recipe, store)
    calls = one(store, "SELECT count(DISTINCT call_key) FROM calls")
    assert calls <= count_calls.total() <= calls + 2 * PROBLEMS * 4, "only what was in flight was asked again"
    assert asked < calls


async def test_a_run_that_another_process_writes_is_told_before_anything_starts(
    base: Row, tmp_path: Path, loaded: Loaded
) -> None:
    recipe, store = grid(base), Store(tmp_path / "store")
    with store.lock_run(plan_sweep(recipe, False).runs[1].run_id), pytest.raises(StoreBusy):
        await sweep(recipe, store.root)
    assert loaded.ever == []
    assert store.runs() == []


async def test_a_bad_problem_is_refused_before_anything_starts(base: Row, tmp_path: Path, loaded: Loaded) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"question": "1+1?", "answer": "2"}\n{"question": "1+2?"}\n')
    recipe = grid(base, problems=[*base["problems"], {"source": "file", "path": str(path)}])
    with pytest.raises(ProblemError, match=r"bad\.jsonl"):
        await sweep(recipe, tmp_path / "store")
    assert loaded.ever == []
    assert not (tmp_path / "store").exists()
    assert len(plan_sweep(recipe, True).problem_sets[1].problems) == 1


async def test_entries_that_come_to_the_same_are_refused(base: Row, tmp_path: Path) -> None:
    slower = [{"engine": "fake"}, {"engine": "fake", "latency_ms": 1}]
    with pytest.raises(UserError, match=r"two entries come to the same: grid-\w+ \(fake × fake × chains-test@\w+\)"):
        await sweep(grid(base, prms=slower), tmp_path)


async def test_without_prms_policies_are_compared_by_votes(base: Row, tmp_path: Path, loaded: Loaded) -> None:
    await sweep(grid(base, prms=[], policies=TWO_POLICIES), tmp_path / "store")
    assert loaded.ever == ["policy 2", "policy 3"]
    assert {row["selector"] for row in rows(tmp_path / "store", "SELECT DISTINCT selector FROM selections")} == {
        "majority",
        "oracle",
    }
