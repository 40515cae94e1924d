"""Stage sample: a method's rollouts of one shard of problems, and their steps."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from prefect import task

from overthink.storage.journal import JournaledCall
from overthink.storage.keys import content_key
from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.stages import Stage
from overthink.tasks.engines.engine_protocol import Policy, Prm
from overthink.tasks.engines.registry import EngineSlot
from overthink.tasks.errors import EngineDied
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.records import Problem, Rollout, split_steps
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.shards import ENGINE_TASK, ShardContext


@dataclass(frozen=True)
class RolloutWork:
    """Everything the shards of one sample or search stage share.

    `search` makes a problem's search from its key and the numbers of the first and one past the last sample, by
    `decisions` where it is not the same for all problems.
    """

    context: ShardContext
    access: EngineAccess
    search: Callable[[str, int, int], Method]
    delimiter: str
    seed: int
    model: str
    prm_id: str | None
    policy: EngineSlot[Policy]
    prm: EngineSlot[Prm] | None
    decisions: Stage | None = None


@task(name="sample", task_run_name="sample {cover.name}", **ENGINE_TASK)
async def sample(work: RolloutWork, cover: Cover) -> Entry:
    """Make one shard's rollouts, or what is missing of them, and write its part.

    Raises EngineDied (worth a retry), BadReply or StorageError; journaled calls are safe in every case.
    """
    outcomes = await carry_out(work, cover)
    calls = await work.access.recorder.take(cover.units, cover.first, cover.last)
    return await write_rollouts(work, cover, rollout_tables(work, outcomes), calls)


async def carry_out(work: RolloutWork, cover: Cover) -> dict[str, Outcome]:
    """Run the searches of a shard's problems, all at once; returns their outcomes by problem key."""
    policy = await work.policy.get()
    prm = None if work.prm is None else await work.prm.get()
    driver = Driver(
        stage_key=work.context.stage.key,
        seed=work.seed,
        model=work.model,
        prm_id=work.prm_id,
        policy=policy,
        prm=prm,
        access=work.access,
    )

    async def solve(unit: str) -> Outcome:
        outcome = await driver.run(work.context.problems[unit], work.search(unit, cover.first, cover.last))
        work.context.on_problem()
        return outcome

    results = await asyncio.gather(*map(solve, cover.units), return_exceptions=True)
    outcomes: dict[str, Outcome] = {}
    for unit, result in zip(cover.units, results, strict=True):
        if isinstance(result, EngineDied):
            await work.policy.discard(policy)
            if work.prm is not None and prm is not None:  # an error does not say which of the two died
                await work.prm.discard(prm)
        if isinstance(result, BaseException):
            raise result
        outcomes[unit] = result
    return outcomes


def rollout_tables(work: RolloutWork, outcomes: Mapping[str, Outcome]) -> dict[str, pa.Table]:
    """The rollouts of some problems and their steps."""
    rollouts: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for unit, outcome in outcomes.items():
        for rollout in outcome.rollouts:
            row, step_rows = _rows(work, work.context.problems[unit], rollout)
            rollouts.append(row)
            steps.extend(step_rows)
    return {"rollouts": rows_table("rollouts", rollouts), "steps": rows_table("steps", steps)}


async def write_rollouts(
    work: RolloutWork, cover: Cover, tables: Mapping[str, pa.Table], calls: Sequence[JournaledCall]
) -> Entry:
    """Write a shard's part with the calls it took, which the journal may then forget."""
    sources = () if work.decisions is None else work.decisions.digests("decisions", cover.units)
    entry = await asyncio.to_thread(
        work.context.stage.write_part, cover, {**tables, "calls": calls_table(calls)}, sources
    )
    await work.access.recorder.forget([call.call_key for call in calls])
    return entry


def rollout_id_of(work: RolloutWork, problem: Problem, rollout: Rollout) -> str:
    """A rollout's address: its stage, its problem and its number."""
    return content_key([work.context.stage.key, problem.problem_key, rollout.sample_index])


def _rows(work: RolloutWork, problem: Problem, rollout: Rollout) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rollout_id = rollout_id_of(work, problem, rollout)
    steps = [step for piece in rollout.path for step in split_steps(piece, work.delimiter)]
    row = {
        "problem_key": problem.problem_key,
        "problem_id": problem.problem_id,
        "sample_index": rollout.sample_index,
        "rollout_id": rollout_id,
        "text": work.delimiter.join(piece.text for piece in rollout.path),
        "step_count": len(steps),
        "prompt_tokens": rollout.path[0].prompt_tokens if rollout.path else None,
        "completion_tokens": _sum_of([piece.completion_tokens for piece in rollout.path]),
        "logprob_sum": _sum_of([piece.logprob_sum for piece in rollout.path]),
        "stop_reason": rollout.stop_reason,
    }
    return row, [{"rollout_id": rollout_id, "step_index": index, **vars(step)} for index, step in enumerate(steps)]


def _sum_of(numbers: Sequence[float | None]) -> float | None:
    """The sum; None where one of them is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
