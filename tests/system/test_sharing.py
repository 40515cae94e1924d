"""A run that several processes share: nothing is done twice, and a killed worker's shard is gone on with by another.

Run as a script, this file forks the workers: `ROOT ROUNDS SEED`. One line of JSON a store; the first is one worker's.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bare_stages import carry_out, execution, without_prefect
from conftest import recipe_of
from killed_runs import asked, has_ended, journaled, noted, timeless, told_by, watch_engines
from storage_samples import forked, status_of, stored_keys

from overthink.storage.storage_errors import StoreBusy
from overthink.storage.store import Store
from overthink.tasks.datasets.problem_loading import load_problems
from overthink.tasks.engines.fakes.fake import FakePolicy
from overthink.tasks.errors import BadReply
from overthink.tasks.plan.evaluation_plan import plan_evaluation
from overthink.tasks.plan.run_plan import Plan, is_finished
from overthink.tasks.recipes.recipe import Recipe

WORKERS, ROUNDS = 3, 10
TABLES = {
    "sample": ("rollouts", "steps", "calls"),
    "search": ("rollouts", "nodes", "scores", "calls"),
    "score": ("scores", "calls"),
    "grade": ("grades", "answers"),
    "select": ("selections", "estimates"),
}


def plan_of(**changes: Any) -> Plan:
    """Twelve problems in six shards, on fakes that take a few milliseconds a call."""
    recipe = Recipe.model_validate(
        {
            "name": "shared",
            "problems": {"source": "chains", "count": 12},
            "policy": {"engine": "fake", "steps": 6, "latency_ms": 15},
            "prm": {"engine": "fake", "latency_ms": 15},
            "methods": [{"method": "best_of_n", "n": 4}, {"method": "beam_search", "n": 4, "beam_width": 2}],
            "budgets": [4],
            "shard_size": 2,
        }
        | changes
    )
    return plan_evaluation(recipe, load_problems(recipe.problems))


def work(root: Path, plan: Plan) -> bool:
    """One worker; whether it was the one that ended the run."""
    return asyncio.run(execution(plan, root, shared=True).run_with_others())


def born(root: Path, plan: Plan) -> int:
    def life() -> None:
        without_prefect(setattr)
        watch_engines(root)
        if work(root, plan):
            with Path(f"{root}.ends").open("a") as stream:
                stream.write("ended\n")

    return forked(life)


def safe(root: Path) -> set[str]:
    return {call_key for stage in Store(root).stages() for call_key in journaled(stage)}


def under_way(root: Path) -> set[str]:
    return {key for stage in Store(root).stages() for path in stage.journals.paths() for key in stored_keys(path)}


def result_of(root: Path) -> dict[str, Any]:
    """All that a run left behind, and what was asked for it by whom."""
    stages = Store(root).stages()
    files = [path for path in root.rglob("*") if path.is_file() and path.parent.name not in ("locks", "parts")]
    return {
        "tables": {
            f"{stage.key} {name}": sorted(map(timeless, stage.table(name).to_pylist()))
            for stage in stages
            for name in TABLES.get(stage.key.split("-")[0], ())
        },
        "files": sorted(str(path.relative_to(root)) for path in files),
        "status": [run.status for run in Store(root).runs()],
        "asked": noted(root),
        "workers": len({process for process, _ in asked(root)}),
        "ends": Path(f"{root}.ends").read_text().split(),
    }


def lose_one(root: Path, plan: Plan, moments: random.Random) -> dict[str, Any]:
    """Workers of which one in the middle of a shard is killed; all are frozen to see what is safe when it dies."""
    workers = [born(root, plan) for _ in range(WORKERS)]
    calls = moments.randrange(20, 300)
    while len(noted(root)) < calls and not any(map(has_ended, workers)):
        time.sleep(0.002)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    time.sleep(0.02)  # until what was being written is
    known, begun, before = safe(root), under_way(root), len(asked(root))
    left = {worker: len({key for process, key in asked(root) if process == worker} & begun) for worker in workers}
    victim = moments.choice([worker for worker in workers if left[worker]] or workers)
    os.kill(victim, signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    ends = [status_of(worker) for worker in workers]
    later = noted(root)[before:]
    return {
        "killed": ends.count(-signal.SIGKILL),
        "ends_well": ends.count(0),
        "left_by_victim": left[victim],
        "again": [call_key for call_key in later if call_key in known],
    }


def main(folder: Path, rounds: int, seed: int) -> None:
    plan, moments = plan_of(), random.Random(seed)
    assert status_of(born(folder / "alone", plan)) == 0
    print(json.dumps(result_of(folder / "alone")), flush=True)
    workers = [born(folder / "together", plan) for _ in range(WORKERS)]
    assert [status_of(worker) for worker in workers] == [0] * WORKERS
    print(json.dumps(result_of(folder / "together")), flush=True)
    for number in range(rounds):
        told = lose_one(folder / str(number), plan, moments)
        print(json.dumps(told | result_of(folder / str(number))), flush=True)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return told_by(__file__, tmp_path_factory.mktemp("stores"), ROUNDS, 20261124)


def test_several_workers_leave_what_one_does_and_ask_every_call_once(told: list[dict[str, Any]]) -> None:
    alone, together = told[:2]
    assert together["workers"] == WORKERS, "each had something to do"
    assert together["tables"] == alone["tables"]
    assert together["files"] == alone["files"]
    assert sorted(together["asked"]) == sorted(alone["asked"])
    assert len(set(together["asked"])) == len(together["asked"]) > 200


def test_one_worker_of_several_ends_the_run(told: list[dict[str, Any]]) -> None:
    for case in told:
        assert case["status"] == ["complete"]
        assert case["ends"] == ["ended"]


def test_a_killed_workers_shards_are_gone_on_with_from_what_it_had_stored(told: list[dict[str, Any]]) -> None:
    alone, _, *lost = told
    assert sum(case["killed"] for case in lost) >= ROUNDS // 2
    assert sum(case["left_by_victim"] > 0 for case in lost) >= ROUNDS // 2, "shards were left in the middle"
    for case in lost:
        assert case["killed"] + case["ends_well"] == WORKERS, "all others end well"
        assert case["again"] == [], "no answered call is made twice"
        assert case["tables"] == alone["tables"]
        assert case["files"] == alone["files"], "and nothing is left over"


def test_alone_and_shared_do_not_mix_and_the_holder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overthink.storage.lock.PATIENCE_SECONDS", 0.1)
    plan, store = plan_of(), Store(tmp_path)
    with store.lock_run(plan.run_id), pytest.raises(StoreBusy, match=f"is being written by process {os.getpid()} on"):
        work(tmp_path, plan)
    by_us = pytest.raises(StoreBusy, match=f"by process {os.getpid()} on")
    with store.share_run(plan.run_id, lambda: None), by_us, store.lock_run(plan.run_id):
        pass


def test_workers_of_one_run_that_cut_other_shards_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)
    monkeypatch.setattr("overthink.storage.lock.PATIENCE_SECONDS", 0.1)
    plan, store = plan_of(), Store(tmp_path)
    stage = store.stage(plan.nodes[1].key)
    refused = pytest.raises(StoreBusy, match=f"stage {stage.key} is being written by")
    with store.share_stage(stage, f"{plan.run_id}, 2 problems a shard", lambda: None), refused:
        work(tmp_path, plan_of(shard_size=3))
    assert Store(tmp_path).find_run(plan.run_id).status == "failed"
    assert work(tmp_path, plan_of(shard_size=3)), "once they have left it goes on"


def test_a_worker_that_fails_leaves_the_run_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)
    plan, store = plan_of(), Store(tmp_path)

    async def refuse(*_: object) -> None:
        raise BadReply("nonsense")

    with monkeypatch.context() as patch:
        patch.setattr(FakePolicy, "generate", refuse)
        with store.share_run(plan.run_id, lambda: plan.begin(store)):
            with pytest.raises(BadReply):
                work(tmp_path, plan)
            assert store.find_run(plan.run_id).status == "running", "another is at it"
        with pytest.raises(BadReply):
            work(tmp_path, plan)
        assert store.find_run(plan.run_id).status == "failed", "nobody is left"
    assert work(tmp_path, plan)
    assert store.find_run(plan.run_id).status == "complete"


def test_a_worker_that_comes_after_the_end_has_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_prefect(monkeypatch.setattr)
    plan = plan_of()
    assert work(tmp_path, plan)
    before = Store(tmp_path).find_run(plan.run_id)
    monkeypatch.setattr(Plan, "begin", lambda _: pytest.fail("it is finished"))
    assert not work(tmp_path, plan)
    assert Store(tmp_path).find_run(plan.run_id) == before


def test_what_a_run_alone_left_unfinished_workers_go_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other way round: how many write a run is no part of it."""
    without_prefect(monkeypatch.setattr)
    plan = plan_of()
    carry_out(plan, tmp_path)
    assert is_finished(plan, Store(tmp_path))
    assert not work(tmp_path, plan)
    grown = plan_of(methods=[{"method": "best_of_n", "n": 12}])
    assert work(tmp_path, grown)
    carry_out(grown, tmp_path)
    assert recipe_of({}, **grown.recipe.model_dump()) == grown.recipe


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
