"""Stage score: the PRM's number for every step of every rollout of one shard."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.stages import Stage
from overthink.tasks.engines.engine_protocol import Prm
from overthink.tasks.engines.registry import EngineSlot
from overthink.tasks.errors import EngineDied, PromptTooLong
from overthink.tasks.methods.requests import Score, Search, expect_scores
from overthink.tasks.records import Scores, Unscored
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.shards import ENGINE_TASK, ShardContext


@dataclass(frozen=True)
class Written:
    """One rollout as it lies in the store: what a PRM is asked about."""

    rollout_id: str
    sample_index: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class ScoreWork:
    """Everything the shards of one score stage share.

    A rollout that is longer than the PRM reads is left without scores, unless `all_must_fit`.
    """

    context: ShardContext
    access: EngineAccess
    samples: Stage
    seed: int
    prm_id: str
    prm: EngineSlot[Prm]
    all_must_fit: bool


@task(name="score", task_run_name="score {cover.name}", **ENGINE_TASK)
async def score(work: ScoreWork, cover: Cover) -> Entry:
    """Score one shard's rollouts and write its part.

    Raises EngineDied (worth a retry), BadReply or StorageError; journaled calls are safe in every case. Raises
    PromptTooLong where no rollout of the shard fits into the PRM's context, or one does not that must.
    """
    written = await asyncio.to_thread(read_written, work.samples, cover)
    prm = await work.prm.get()
    driver = Driver(
        stage_key=work.context.stage.key,
        seed=work.seed,
        model=work.prm_id,
        prm_id=work.prm_id,
        policy=None,
        prm=prm,
        access=work.access,
    )
    known = await asyncio.to_thread(read_known, work, cover)
    rows: list[dict[str, Any]] = []
    unscored: list[Unscored] = []

    async def judge(unit: str) -> None:
        found = await driver.run(work.context.problems[unit], score_rollouts(written[unit], known[unit], work.prm_id))
        rows.extend(found.rows)
        unscored.extend(found.unscored)
        work.context.on_problem()

    for result in await asyncio.gather(*map(judge, cover.units), return_exceptions=True):
        if isinstance(result, EngineDied):
            await work.prm.discard(prm)
        if isinstance(result, BaseException):
            raise result
    if unscored and (work.all_must_fit or not rows):
        raise PromptTooLong(f"{unscored[0].reason}; raise prm.max_model_len or take shorter solutions")
    rows.sort(key=lambda row: (row["rollout_id"], row["step_index"]))
    calls = await work.access.recorder.take(cover.units, cover.first, cover.last)
    tables = {"scores": rows_table("scores", rows), "calls": calls_table(calls)}
    sources = work.samples.digests("rollouts", cover.units)
    entry = await asyncio.to_thread(work.context.stage.write_part, cover, tables, sources)
    await work.access.recorder.forget([call.call_key for call in calls])
    return entry


@dataclass(frozen=True)
class ScoredRollouts:
    """Rows of the table `scores`, and what was said of the rollouts that have none."""

    rows: list[dict[str, Any]]
    unscored: list[Unscored]


def score_rollouts(
    written: list[Written], known: dict[tuple[str, ...], list[float]], prm_id: str
) -> Search[ScoredRollouts]:
    """A search that only scores; it makes no rollouts of its own.

    Rollouts of the same steps are asked about once: at low temperatures a policy writes the same solution many times.
    `known` holds the scores of those that were asked about before.
    """
    alike: dict[tuple[str, ...], list[Written]] = defaultdict(list)
    for rollout in written:
        if rollout.steps:
            alike[rollout.steps].append(rollout)
    new = [steps for steps in alike if steps not in known]
    replies = expect_scores((yield [Score(steps, 0, alike[steps][0].sample_index) for steps in new]))
    fresh = {steps: reply.values for steps, reply in zip(new, replies, strict=True) if isinstance(reply, Scores)}
    values = known | fresh
    rows = [
        {"rollout_id": rollout.rollout_id, "prm": prm_id, "step_index": index, "score": value}
        for steps, same in alike.items()
        for rollout in same
        for index, value in enumerate(values.get(steps, ()))
    ]
    return ScoredRollouts(rows, [reply for reply in replies if isinstance(reply, Unscored)])


def read_known(work: ScoreWork, cover: Cover) -> dict[str, dict[tuple[str, ...], list[float]]]:
    """The scores that earlier samples of a shard's problems already have, by problem key and steps."""
    if cover.first == 0:
        return {unit: {} for unit in cover.units}
    scores = by_rollout(work.context.stage.table("scores", cover.units), "score")
    earlier = read_written(work.samples, Cover(cover.units, 0, cover.first))
    return {
        unit: {rollout.steps: scores[rollout.rollout_id] for rollout in rollouts if rollout.rollout_id in scores}
        for unit, rollouts in earlier.items()
    }


def read_written(samples: Stage, cover: Cover) -> dict[str, list[Written]]:
    """The rollouts of a shard with their steps, by problem key, in the order of their sample index."""
    rollouts = covered_rows(samples.table("rollouts", cover.units), cover)
    table = samples.table("steps", cover.units)
    table = table.filter(pc.is_in(table["rollout_id"], rollouts["rollout_id"].combine_chunks()))
    steps = by_rollout(table, "text")
    written: dict[str, list[Written]] = {unit: [] for unit in cover.units}
    for row in rollouts.select(["problem_key", "rollout_id", "sample_index"]).to_pylist():
        rollout = Written(row["rollout_id"], row["sample_index"], tuple(steps[row["rollout_id"]]))
        written[row["problem_key"]].append(rollout)
    return written


def by_rollout(table: pa.Table, column: str) -> dict[str, list[Any]]:
    """One column of a table of steps, by rollout id, in the order of the steps; a rollout without any has none."""
    table = table.sort_by([("rollout_id", "ascending"), ("step_index", "ascending")])
    values: dict[str, list[Any]] = defaultdict(list)
    for rollout_id, value in zip(table["rollout_id"].to_pylist(), table[column].to_pylist(), strict=True):
        values[rollout_id].append(value)
    return values


def covered_rows(table: pa.Table, cover: Cover) -> pa.Table:
    """The rows of a shard's problems and samples, by problem and sample index."""
    index = table["sample_index"]
    inside = pc.and_(pc.greater_equal(index, cover.first), pc.less(index, cover.last))
    inside = pc.and_(inside, pc.is_in(table["problem_key"], pa.array(cover.units)))
    return table.filter(inside).sort_by([("problem_key", "ascending"), ("sample_index", "ascending")])
