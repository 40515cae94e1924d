"""Stage sample: a method's rollouts of one shard of problems, and their steps."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from prefect import task

from storage.keys import content_key
from storage.stages import Cover, Entry, Stage
from tasks.drive import Called, Driver
from tasks.engines.catalogue import EngineSlot
from tasks.engines.protocol import Policy
from tasks.errors import EngineDied
from tasks.methods.protocol import Outcome, Search
from tasks.recorder import Recorder
from tasks.records import Problem, Rollout, split_steps
from tasks.shards import ENGINE_TASK, calls_table, rows_table


class SampleWork:
    """Everything the shards of one sample stage share. (Not a dataclass: Prefect would walk through its fields.)"""

    def __init__(
        self,
        stage: Stage,
        problems: Mapping[str, Problem],
        search: Callable[[int, int], Search],
        delimiter: str,
        seed: int,
        model: str,
        policy: EngineSlot[Policy],
        recorder: Recorder,
        in_flight: asyncio.Semaphore,
        on_call: Callable[[Called], None],
        on_problem: Callable[[], None],
    ) -> None:
        self.stage = stage
        self.problems = problems
        self.search = search
        self.delimiter = delimiter
        self.seed = seed
        self.model = model
        self.policy = policy
        self.recorder = recorder
        self.in_flight = in_flight
        self.on_call = on_call
        self.on_problem = on_problem


@task(name="sample", task_run_name="sample {cover.name}", **ENGINE_TASK)
async def sample(work: SampleWork, cover: Cover) -> Entry:
    """Make one shard's rollouts, or what is missing of them, and write its part.

    Raises EngineDied (worth a retry), BadReply or StorageError; journaled calls are safe in every case.
    """
    policy = await work.policy.get()
    driver = Driver(
        stage_key=work.stage.key,
        seed=work.seed,
        model=work.model,
        policy=policy,
        prm=None,
        recorder=work.recorder,
        in_flight=work.in_flight,
        on_call=work.on_call,
    )

    async def solve(unit: str) -> Outcome:
        outcome = await driver.run(work.problems[unit], work.search(cover.first, cover.last))
        work.on_problem()
        return outcome

    results = await asyncio.gather(*map(solve, cover.units), return_exceptions=True)
    outcomes: dict[str, Outcome] = {}
    for unit, result in zip(cover.units, results, strict=True):
        if isinstance(result, EngineDied):
            await work.policy.discard(policy)
        if isinstance(result, BaseException):
            raise result
        outcomes[unit] = result
    return await _write(work, cover, outcomes)


async def _write(work: SampleWork, cover: Cover, outcomes: Mapping[str, Outcome]) -> Entry:
    calls = await work.recorder.take(cover.units, cover.first, cover.last)
    rollouts: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for unit, outcome in outcomes.items():
        for rollout in outcome.rollouts:
            row, step_rows = _rows(work, work.problems[unit], rollout)
            rollouts.append(row)
            steps.extend(step_rows)
    tables = {
        "rollouts": rows_table("rollouts", rollouts),
        "steps": rows_table("steps", steps),
        "calls": calls_table(calls),
    }
    entry = await asyncio.to_thread(work.stage.write_part, cover, tables)
    await work.recorder.forget([call.call_key for call in calls])
    return entry


def _rows(work: SampleWork, problem: Problem, rollout: Rollout) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rollout_id = content_key([work.stage.key, problem.problem_key, rollout.sample_index])
    steps = [step for piece in rollout.path for step in split_steps(piece, work.delimiter)]
    row = {
        "problem_key": problem.problem_key,
        "problem_id": problem.problem_id,
        "sample_index": rollout.sample_index,
        "rollout_id": rollout_id,
        "text": work.delimiter.join(piece.text for piece in rollout.path),
        "step_count": len(steps),
        "prompt_tokens": rollout.path[0].prompt_tokens if rollout.path else None,
        "completion_tokens": sum(len(piece.tokens) for piece in rollout.path),
        "logprob_sum": sum(sum(piece.logprobs) for piece in rollout.path),
        "stop_reason": rollout.stop_reason,
    }
    return row, [{"rollout_id": rollout_id, "step_index": index, **vars(step)} for index, step in enumerate(steps)]
