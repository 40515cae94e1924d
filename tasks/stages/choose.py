"""The select stage of a strategy: the answer that the decided selector chooses among the pilot's and later rollouts."""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.tasks.analysis.estimators import Estimate
from overthink.tasks.analysis.intervals import KIND
from overthink.tasks.analysis.selectors import BY_STRATEGY, SelectorName
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import OpenStage, ShardContext
from overthink.tasks.stages.decide import Pilot
from overthink.tasks.stages.graded import Graded, Pool, in_batches, join_all, read_graded
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.node import Input
from overthink.tasks.stages.select import ChoiceNode, Row, estimate_columns, groups_of, over_problems, selection


@dataclass(frozen=True)
class Applied:
    """The output of applying a strategy: the pilot, the decisions, and the rollouts that follow.

    `rest` holds the later rollouts with their scores, `grades` their grades; with the pilot, if any, a problem has at
    most `most` rollouts.
    """

    pilot: Pilot | None
    decisions: Input
    rest: Input
    grades: Input
    most: int

    def rollouts(self, stage_of: OpenStage, units: tuple[str, ...]) -> dict[str, Graded]:
        """The pilot's and later rollouts of some problems, by problem key."""
        grades, rest = stage_of(self.grades.key), stage_of(self.rest.key)
        if self.pilot is None:
            return read_graded(grades, rest, Extent(units, 0, self.most))
        pilots = self.pilot.graded(stage_of, units)
        following = read_graded(grades, rest, Extent(units, self.pilot.n, self.most))
        return {unit: [*pilots[unit], *following[unit]] for unit in units}

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The tables that the selection reads."""
        pilot = () if self.pilot is None else ((self.pilot.grades, "answers"), (self.pilot.scores, "scores"))
        return (*pilot, (self.decisions, "decisions"), (self.grades, "answers"), (self.rest, "scores"))


@dataclass(frozen=True, eq=False, kw_only=True)
class ChooseNode(ChoiceNode):
    """The answers that a strategy's `selectors` choose."""

    applied: Applied
    selectors: Collection[SelectorName]

    @property
    def identity(self) -> JsonObject:
        """The rollouts, the problems and the grader; the decisions are in the grades' key."""
        return stage_identity(
            self.kind,
            grades=self.applied.grades.key,
            problems=self.problems.key,
            intervals=KIND,
            **own_code("selection"),
            **plugin_identities("selectors", self.selectors),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """See `Applied`."""
        return self.applied.reads

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Choose for all problems of the run, some at a time, so that only their rollouts are in memory."""
        decided = context.stage_of(self.applied.decisions.key).table("decisions").to_pylist()
        decisions = {row["problem_key"]: row for row in decided}
        groups: list[pa.Table] = []
        rows: list[Row] = []
        for some in in_batches(Extent(extent.units, 0, self.applied.most)):
            pools = join_all(self.applied.rollouts(context.stage_of, some.units), context.judge)
            for unit, pool in pools.items():
                rows.append(decided_choice(self.problems.by_key[unit], pool, decisions[unit]))
                context.on_problem(unit)
            groups.append(rows_table("groups", groups_of(self.problems.by_key, pools)))
        # Under a total each problem has its own budget; the row over all problems has the mean.
        n = round(sum(row["n"] for row in rows) / len(rows))
        estimates = [row | {"n": n} for row in over_problems(rows)]
        return {
            "groups": pa.concat_tables(groups),
            "selections": rows_table("selections", rows),
            "estimates": rows_table("estimates", estimates),
        }


def decided_choice(problem: Problem, pool: Pool, decision: Row) -> Row:
    """The decided selector's choice among all rollouts of a problem, as a row of `selections`."""
    row = selection(problem, pool, decision["selector"], pool.all.count, None)
    if problem.reference is not None:
        right, unknown = row["correct"] is True, row["correct"] is None
        row |= estimate_columns(Estimate(float(right), float(right or unknown), "exact"))
    return row | {"n": decision["budget"], "selector": BY_STRATEGY}
