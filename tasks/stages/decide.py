"""Stage decide: what to do with each problem, from its pilot where it has one."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from prefect import task

from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import rows_table
from overthink.storage.stages import Stage
from overthink.tasks.analysis.difficulty import Difficulty, features_of
from overthink.tasks.analysis.selectors import Floats, SelectorName
from overthink.tasks.domains.domain import Judge
from overthink.tasks.records import Problem
from overthink.tasks.stages.graded import Graded, join_all, read_graded
from overthink.tasks.stages.score import covered_rows
from overthink.tasks.stages.shards import PLAIN_TASK, ShardContext


@dataclass(frozen=True)
class Pilot:
    """The first `n` rollouts of each problem, scored and graded."""

    samples: Stage
    scores: Stage
    grades: Stage
    n: int

    def graded(self, units: tuple[str, ...]) -> dict[str, Graded]:
        """The rollouts of some problems, by problem key."""
        return read_graded(self.grades, self.scores, Cover(units, 0, self.n))

    def tokens(self, units: tuple[str, ...]) -> dict[str, list[int]]:
        """The completion tokens of each rollout, by problem key."""
        table = covered_rows(self.samples.table("rollouts"), Cover(units, 0, self.n))
        tokens: dict[str, list[int]] = {unit: [] for unit in units}
        for unit, count in zip(table["problem_key"].to_pylist(), table["completion_tokens"].to_pylist(), strict=True):
            tokens[unit].append(count)
        return tokens

    def digests(self, units: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The sha256 of what a decision is made of; answers follow from the rollouts."""
        return self.samples.digests("rollouts", units) + self.scores.digests("scores", units)


@dataclass(frozen=True)
class Decision:
    """What is done with a problem, and what is expected of it.

    `predicted` is its pass@1 in (0, 1) (like `difficulty` None without a pilot), `budget` its rollouts in all, `chosen`
    the method_id of what follows the pilot; tokens are completion tokens, FLOPs those of policy and PRM (None where
    unknown), the pilot's included.
    """

    predicted: float | None
    difficulty: Difficulty | None
    budget: int
    chosen: str
    selector: SelectorName
    expected_accuracy: float | None
    expected_tokens: float
    expected_flops: float | None


Decide = Callable[[Floats, Floats], Sequence[Decision]]


@dataclass(frozen=True)
class DecideWork:
    """What one decide stage reads.

    `decide` makes a decision for each problem, from the pilots' features (problems, FEATURES) and completion tokens
    (problems,).
    """

    context: ShardContext
    pilot: Pilot
    decide: Decide
    judge: Judge


@task(name="decide", task_run_name="decide {cover.name}", **PLAIN_TASK)
async def decide(work: DecideWork, cover: Cover) -> Entry:
    """Decide for all problems that lack it and write the part.

    Raises StorageError, or UserError where the total is too small.
    """
    return await asyncio.to_thread(_decide, work, cover)


def _decide(work: DecideWork, cover: Cover) -> Entry:
    pilots, tokens = join_all(work.pilot.graded(cover.units), work.judge), work.pilot.tokens(cover.units)
    features = np.array([features_of(pilots[unit].all, tokens[unit]) for unit in cover.units])
    spent = np.array([float(sum(tokens[unit])) for unit in cover.units])
    table = decisions_table(work.context.problems, cover.units, work.decide(features, spent))
    for _ in cover.units:
        work.context.on_problem()
    return work.context.stage.write_part(cover, {"decisions": table}, work.pilot.digests(cover.units))


def decisions_table(problems: Mapping[str, Problem], units: Sequence[str], decisions: Sequence[Decision]) -> pa.Table:
    """What was decided about each of `units`, problem keys, as rows of the `decisions` table."""
    rows = [
        {"problem_key": unit, "problem_id": problems[unit].problem_id, **vars(decision)}
        for unit, decision in zip(units, decisions, strict=True)
    ]
    return rows_table("decisions", rows)
