"""In which order stages are made, and which engines are loaded when: literal graphs over engines that only note."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from applied import applying, plan_of, recipe_value, written
from plans import plan

from overthink.flows.orchestration import sweep_engines
from overthink.flows.orchestration.sweep_engines import SweepEngines
from overthink.storage.store import Store
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.plan.execution import Execution
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.progress import RunProgress
from overthink.tasks.stages.schedule import Job, Schedule, ready


class Engine:
    """Notes that it was loaded and closed."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        log.append(f"load {name}")

    async def close(self) -> None:
        self.log.append(f"close {self.name}")


def slot(name: str, log: list[str]) -> EngineSlot[Any]:
    async def opener(_: Any) -> Engine:
        return Engine(name, log)

    return EngineSlot(name, opener)


def jobs_of(of: Plan, engines: Engines) -> list[Job]:
    return Execution(of, Store(Path("unused")), RunProgress(None), engines).jobs()


async def made(jobs: list[Job], log: list[str]) -> list[str]:
    """Make all jobs as a run does, but for the stages themselves."""
    schedule = Schedule(jobs)
    async with schedule.engines():
        while (job := schedule.next()) is not None:
            for each in job.slots:
                await each.get()
            log.append(f"{job.node.kind} {job.node.method_id or ''}".strip())
            await schedule.done(job)
    return log


def run(of: Plan) -> list[str]:
    log: list[str] = []
    return asyncio.run(made(jobs_of(of, Engines(slot("policy", log), slot("prm", log))), log))


def test_the_policy_samples_alone_searches_come_next_and_the_prm_scores_when_the_policy_is_gone() -> None:
    methods = [{"method": "dvts", "n": 8}, {"method": "best_of_n", "n": 8}, {"method": "cot"}]
    assert run(plan(methods=methods)) == [
        "problems",
        "load policy",
        "sample best_of_n-n8",
        "sample cot",
        "load prm",
        "search dvts-n8-m4",
        "close policy",
        "score best_of_n-n8",
        "score cot",
        "close prm",
        "grade dvts-n8-m4",
        "select dvts-n8-m4",
        "grade best_of_n-n8",
        "select best_of_n-n8",
        "grade cot",
        "select cot",
    ]


def test_what_a_search_waits_for_is_made_before_what_nothing_waits_for(tmp_path: Path) -> None:
    methods = [{"method": "best_of_n", "n": 16}, *applying(written(tmp_path), {"n": 16})]
    name = "compute_optimal-n16-trial"
    assert run(plan_of(recipe_value(tmp_path, methods=methods))) == [
        "problems",
        "load policy",
        f"sample {name}",
        "sample best_of_n-n16",
        "load prm",
        f"score {name}",
        f"grade {name}",
        f"decide {name}",
        f"search {name}",
        "close policy",
        "score best_of_n-n16",
        "close prm",
        "grade best_of_n-n16",
        "select best_of_n-n16",
        f"grade {name}",
        f"select {name}",
    ]


def test_a_stage_that_two_methods_share_to_the_same_number_of_samples_is_made_once(tmp_path: Path) -> None:
    methods = [{"method": "best_of_n", "n": 4}, *applying(written(tmp_path), {"n": 16})]
    found = run(plan_of(recipe_value(tmp_path, methods=methods)))
    assert [line for line in found if line.startswith("sample")] == ["sample best_of_n-n4"]


def grid(folder: Path, policies: int, prms: int) -> list[Job]:
    """The jobs of every run of a grid; each policy and each PRM is another."""
    engines, jobs = SweepEngines(), []
    methods = [{"method": "best_of_n", "n": 8}, {"method": "dvts", "n": 8}]
    scripts = [folder / f"script-{number}.json" for number in range(prms)]
    for number, script in enumerate(scripts):
        script.write_text(json.dumps({"prm": {}, "number": number}))
    for steps in range(2, 2 + policies):
        for script in scripts:
            changes = {
                "policy": {"engine": "fake", "steps": steps},
                "prm": {"engine": "scripted", "script": str(script)},
            }
            one = plan(methods=methods, **changes)
            jobs += jobs_of(one, Engines(engines.policy(one.policy_config), engines.prm(one.prm_config)))
    return jobs


@pytest.mark.parametrize(("policies", "prms"), [(1, 1), (2, 1), (1, 3), (2, 2), (3, 3)])
def test_a_grid_loads_a_policy_once_and_begins_each_with_the_prm_that_is_there(
    policies: int, prms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    async def open_policy(config: Any) -> Engine:
        return Engine(f"policy {config.steps}", log)

    async def open_prm(config: Any) -> Engine:
        return Engine(f"prm {config.script}", log)

    monkeypatch.setattr(sweep_engines, "open_policy", open_policy)
    monkeypatch.setattr(sweep_engines, "open_prm", open_prm)
    asyncio.run(made(grid(tmp_path, policies, prms), log))
    assert sum(line.startswith("load policy") for line in log) == policies
    assert sum(line.startswith("load prm") for line in log) == prms + (policies - 1) * (prms - 1)
    assert sum(line.startswith("close") for line in log) == sum(line.startswith("load") for line in log)


def test_a_job_is_ready_when_none_of_its_inputs_is_left() -> None:
    jobs = jobs_of(plan(), Engines())
    assert [job.node.kind for job in ready(jobs)] == ["problems"]
    assert [job.node.kind for job in ready(jobs[1:])] == ["sample"]
    assert [job.node.kind for job in ready(jobs[2:])] == ["score", "grade"]


@pytest.mark.parametrize("broken", ["policy", "prm"])
async def test_an_engine_that_cannot_be_closed_leaves_no_other_one_open(broken: str) -> None:
    log: list[str] = []
    engines = Engines(slot("policy", log), slot("prm", log))
    schedule = Schedule(jobs_of(plan(methods=[{"method": "dvts", "n": 8}]), engines))
    assert engines.policy is not None and engines.prm is not None
    loaded = [await engines.policy.get(), await engines.prm.get()]

    async def refuse() -> None:
        raise OSError("it does not end")

    loaded[broken == "prm"].close = refuse  # type: ignore[method-assign]
    with pytest.raises(OSError, match="it does not end"):
        async with schedule.engines():
            pass
    assert log[2:] == [f"close {other}" for other in ("policy", "prm") if other != broken]
