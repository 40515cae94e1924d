"""The score stage: the PRM's score of every step of every rollout of one shard."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.tasks.critiques import Critique
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import PromptTooLong
from overthink.tasks.methods.requests import Score, Search, expect_scores
from overthink.tasks.records import Scores, Unscored
from overthink.tasks.stages.context import EngineContext
from overthink.tasks.stages.driver import Driver
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.node import EngineNode, Input

Steps = tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """A stored rollout, which a PRM scores."""

    rollout_id: str
    sample_index: int
    steps: Steps


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreNode(EngineNode):
    """The PRM's scores of the rollouts of another stage.

    A rollout longer than the PRM's context gets no scores, unless `all_must_fit`, which makes it an error; nor does one
    with a step about which a verifier came to no verdict.
    """

    kind: ClassVar[StageKind] = StageKind.SCORE
    tables: ClassVar[tuple[str, ...]] = ("scores", "calls")  # and of a verifier its critiques

    rollouts: Input
    prm: EngineIdentity
    policy: None = None
    all_must_fit: bool = False

    @property
    def identity(self) -> JsonObject:
        """The rollouts and the PRM. Problems' keys are the units inside the stage."""
        return stage_identity(self.kind, samples=self.rollouts.key, prm=self.prm.determinants)

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The rollouts."""
        return ((self.rollouts, "rollouts"),)

    async def part(self, context: EngineContext, extent: Extent) -> dict[str, pa.Table]:
        """Score one shard's rollouts.

        Raises as `EngineNode.part`, and PromptTooLong where no rollout of the shard fits into the PRM's context, or one
        does not fit though `all_must_fit`.
        """
        made = context.stage_of(self.rollouts.key)
        written = await asyncio.to_thread(read_written, made, extent)
        known = await asyncio.to_thread(read_known, context.stage, made, extent)

        async def judge(driver: Driver, unit: str) -> ScoredRollouts:
            search = score_rollouts(written[unit], known[unit], self.prm.address)
            return await driver.run(self.problems.by_key[unit], search)

        found = await self.for_each(context, extent.units, judge)
        rows = [row for scored in found for row in scored.rows]
        critiques = [row for scored in found for row in scored.critiques]
        overlong = [one for scored in found for one in scored.unscored if not one.critiques]
        if overlong and (self.all_must_fit or not (rows or critiques)):
            raise PromptTooLong(f"{overlong[0].reason}; raise prm.max_model_len or take shorter solutions")
        rows.sort(key=lambda row: (row["rollout_id"], row["step_index"]))
        tables = {"scores": rows_table("scores", rows)}
        if self.prm.writes_critiques:
            tables["critiques"] = rows_table("critiques", sorted(critiques, key=critique_order))
        return tables


@dataclass(frozen=True)
class ScoredRollouts:
    """Rows of the tables `scores` and `critiques`, and the reasons why some rollouts have no scores."""

    rows: list[dict[str, Any]]
    critiques: list[dict[str, Any]]
    unscored: list[Unscored]


def score_rollouts(written: list[Written], known: Mapping[Steps, Scores], prm_id: str) -> Search[ScoredRollouts]:
    """A search that only scores; it makes no rollouts of its own.

    Rollouts with the same steps are scored once: at low temperatures a policy writes the same solution many times.
    `known` holds the scores of steps that were scored before.
    """
    alike: dict[Steps, list[Written]] = defaultdict(list)
    for rollout in written:
        if rollout.steps:
            alike[rollout.steps].append(rollout)
    new = [steps for steps in alike if steps not in known]
    replies = expect_scores((yield [Score(steps, 0, alike[steps][0].sample_index) for steps in new]))
    found = {**known, **dict(zip(new, replies, strict=True))}
    each = [(rollout.rollout_id, found[steps]) for steps, same in alike.items() for rollout in same]
    rows = [
        {"rollout_id": rollout_id, "prm": prm_id, "step_index": index, "score": value}
        for rollout_id, reply in each
        if isinstance(reply, Scores)
        for index, value in enumerate(reply.values)
    ]
    critiques = [row for rollout_id, reply in each for row in critique_rows(rollout_id, prm_id, reply.critiques)]
    return ScoredRollouts(rows, critiques, [reply for reply in replies if isinstance(reply, Unscored)])


def critique_rows(rollout_id: str, prm_id: str | None, critiques: Iterable[Critique]) -> Iterator[dict[str, Any]]:
    """Rows of the table `critiques`."""
    for critique in critiques:
        row = vars(critique) | {"rollout_id": rollout_id, "prm": prm_id, "critique": critique.number}
        del row["number"]
        yield row


def critique_order(row: Mapping[str, Any]) -> tuple[str, int, int]:
    """The order of the rows of `critiques`."""
    return row["rollout_id"], row["step_index"], row["critique"]


def read_known(scored: Stage, rollouts: Stage, extent: Extent) -> dict[str, dict[Steps, Scores]]:
    """The scores that earlier samples of a shard's problems already have, by problem key and steps."""
    if extent.first == 0:
        return {unit: {} for unit in extent.units}
    scores = by_rollout(scored.table("scores", extent.units), "score")
    critiques = _critiques_by_rollout(scored.table("critiques", extent.units))
    earlier = read_written(rollouts, Extent(extent.units, 0, extent.first))
    return {
        unit: {
            rollout.steps: Scores(tuple(scores[rollout.rollout_id]), 0, 0, critiques.get(rollout.rollout_id, ()))
            for rollout in rollouts
            if rollout.rollout_id in scores
        }
        for unit, rollouts in earlier.items()
    }


def _critiques_by_rollout(table: pa.Table) -> dict[str, tuple[Critique, ...]]:
    found: dict[str, tuple[Critique, ...]] = {}
    for row in sorted(table.to_pylist(), key=critique_order):
        rollout_id, number = row.pop("rollout_id"), row.pop("critique")
        del row["prm"]
        found[rollout_id] = (*found.get(rollout_id, ()), Critique(number=number, **row))
    return found


def read_written(samples: Stage, extent: Extent) -> dict[str, list[Written]]:
    """The rollouts of a shard with their steps, by problem key, in the order of their sample index."""
    rollouts = rows_within(samples.table("rollouts", extent.units), extent)
    table = samples.table("steps", extent.units)
    table = table.filter(pc.is_in(table["rollout_id"], rollouts["rollout_id"].combine_chunks()))
    steps = by_rollout(table, "text")
    written: dict[str, list[Written]] = {unit: [] for unit in extent.units}
    for row in rollouts.select(["problem_key", "rollout_id", "sample_index"]).to_pylist():
        rollout = Written(row["rollout_id"], row["sample_index"], tuple(steps[row["rollout_id"]]))
        written[row["problem_key"]].append(rollout)
    return written


def by_rollout(table: pa.Table, column: str) -> dict[str, list[Any]]:
    """One column of a table of steps, by rollout id, in the order of the steps; rollouts without steps are absent."""
    table = table.sort_by([("rollout_id", "ascending"), ("step_index", "ascending")])
    values: dict[str, list[Any]] = defaultdict(list)
    for rollout_id, value in zip(table["rollout_id"].to_pylist(), table[column].to_pylist(), strict=True):
        values[rollout_id].append(value)
    return values


def rows_within(table: pa.Table, extent: Extent) -> pa.Table:
    """The rows of a shard's problems and samples, by problem and sample index."""
    index = table["sample_index"]
    inside = pc.and_(pc.greater_equal(index, extent.first), pc.less(index, extent.last))
    inside = pc.and_(inside, pc.is_in(table["problem_key"], pa.array(extent.units)))
    return table.filter(inside).sort_by([("problem_key", "ascending"), ("sample_index", "ascending")])
