"""Stage select of a strategy: the answer that the decided selector chooses among pilot and rest."""

import asyncio
from dataclasses import dataclass

from prefect import task

from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import rows_table
from overthink.storage.stages import Stage
from overthink.tasks.analysis.estimators import Estimate
from overthink.tasks.analysis.selectors import BY_STRATEGY
from overthink.tasks.domains.domain import Judge
from overthink.tasks.records import Problem
from overthink.tasks.stages.decide import Pilot
from overthink.tasks.stages.graded import Graded, Pool, join_all, read_graded
from overthink.tasks.stages.select import Row, estimate_columns, groups_of, over_problems, selection
from overthink.tasks.stages.shards import PLAIN_TASK, ShardContext


@dataclass(frozen=True)
class Applied:
    """What the application of a strategy left: the pilot, what was decided, and the rollouts that follow.

    `rest` holds those with their scores, `grades` their grades; with the pilot, if there was one, a problem has at most
    `most`.
    """

    pilot: Pilot | None
    decisions: Stage
    rest: Stage
    grades: Stage
    most: int

    def rollouts(self, units: tuple[str, ...]) -> dict[str, Graded]:
        """Pilot and rest of some problems together, by problem key."""
        if self.pilot is None:
            return read_graded(self.grades, self.rest, Cover(units, 0, self.most))
        pilots = self.pilot.graded(units)
        rest = read_graded(self.grades, self.rest, Cover(units, self.pilot.n, self.most))
        return {unit: [*pilots[unit], *rest[unit]] for unit in units}

    def digests(self, units: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The sha256 of all that is chosen from and by."""
        pilot = () if self.pilot is None else ((self.pilot.grades, "answers"), (self.pilot.scores, "scores"))
        read = (
            *pilot,
            (self.decisions, "decisions"),
            (self.grades, "answers"),
            (self.rest, "scores"),
        )
        return tuple(digest for stage, table in read for digest in stage.digests(table, units))


@dataclass(frozen=True)
class ChooseWork:
    """What one select stage of a strategy reads."""

    context: ShardContext
    applied: Applied
    judge: Judge


@task(name="choose", task_run_name="choose {cover.name}", **PLAIN_TASK)
async def choose_decided(work: ChooseWork, cover: Cover) -> Entry:
    """Choose for all problems of the run and write the part. Raises StorageError."""
    return await asyncio.to_thread(choose_part, work, cover)


def choose_part(work: ChooseWork, cover: Cover) -> Entry:
    """The same, without Prefect."""
    pools = join_all(work.applied.rollouts(cover.units), work.judge)
    decisions = {row["problem_key"]: row for row in work.applied.decisions.table("decisions").to_pylist()}
    rows = []
    for unit in cover.units:
        rows.append(decided_choice(work.context.problems[unit], pools[unit], decisions[unit]))
        work.context.on_problem()
    # Under a total each problem has a budget of its own; over all of them it is their mean.
    n = round(sum(row["n"] for row in rows) / len(rows))
    estimates = [row | {"n": n} for row in over_problems(rows)]
    tables = {
        "groups": rows_table("groups", groups_of(work.context.problems, pools)),
        "selections": rows_table("selections", rows),
        "estimates": rows_table("estimates", estimates),
    }
    return work.context.stage.write_part(cover, tables, work.applied.digests(cover.units))


def decided_choice(problem: Problem, pool: Pool, decision: Row) -> Row:
    """What the decided selector chooses among all rollouts of a problem, as a row of `selections`."""
    row = selection(problem, pool, decision["selector"], pool.all.count, None)
    if problem.reference is not None:
        right, unknown = row["correct"] is True, row["correct"] is None
        row |= estimate_columns(Estimate(float(right), float(right or unknown), "exact"))
    return row | {"n": decision["budget"], "selector": BY_STRATEGY}
