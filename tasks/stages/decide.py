"""The decide stage: the method, selector and budget for each problem, from its pilot where it has one."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.analysis.difficulty import Difficulty, features_of
from overthink.tasks.analysis.selectors import Floats, SelectorName
from overthink.tasks.determinants import determinants
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.recipes.strategy_file import Strategy
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import OpenStage, ShardContext
from overthink.tasks.stages.graded import Graded, in_batches, join_all, read_graded, tokens_by_problem
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.node import Input, PlainNode

DECISIVE = {
    "difficulty",
    "predictor",
    "choices",
    "expectations",
    "without_pilot",
}  # a strategy's other fields do not affect decisions


@dataclass(frozen=True)
class Pilot:
    """The first `n` rollouts of each problem, scored and graded."""

    rollouts: Input
    scores: Input
    grades: Input
    n: int

    def graded(self, stage_of: OpenStage, units: tuple[str, ...]) -> dict[str, Graded]:
        """The rollouts of some problems, by problem key."""
        return read_graded(stage_of(self.grades.key), stage_of(self.scores.key), Extent(units, 0, self.n))

    def tokens(self, stage_of: OpenStage, units: tuple[str, ...]) -> dict[str, list[int]]:
        """The completion tokens of each rollout, by problem key."""
        return tokens_by_problem(stage_of(self.rollouts.key), Extent(units, 0, self.n))


@dataclass(frozen=True)
class Decision:
    """The decision for a problem, and the expected result.

    `predicted` is the predicted pass@1 in (0, 1) (None without a pilot, as `difficulty`), `budget` the number of its
    rollouts, `chosen` the method_id that follows the pilot. Tokens are completion tokens, FLOPs those of policy and PRM
    (None where unknown); all include the pilot.
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


@dataclass(frozen=True, eq=False, kw_only=True)
class AnyDecisionNode(PlainNode):
    """The decisions for problems under a strategy and a `limit`: a budget for each problem, or a total for all."""

    kind: ClassVar[StageKind] = StageKind.DECIDE
    tables: ClassVar[tuple[str, ...]] = ("decisions",)

    strategy: Strategy
    limit: JsonObject
    grader: Grader

    @property
    def determinants(self) -> JsonObject:
        """What a decision depends on besides the pilot."""
        limit = dict(self.limit)
        if limit["n"] is None:  # a total is allocated over all problems, so a decision depends on all of them
            limit["problems"] = self.problems.key
        return {
            "grading": determinants(self.grader.grading),
            "strategy": determinants(self.strategy, include=DECISIVE, mode="json"),
            "limit": limit,
            **own_code("decision"),
        }

    @property
    def samples(self) -> None:
        """None: it holds decisions, one for each problem."""

    @property
    @abstractmethod
    def pilot_size(self) -> int:
        """The number of rollouts of each problem before the decided method begins."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DecideNode(AnyDecisionNode):
    """Decisions from a pilot.

    `decide` makes a decision for each problem, from the pilots' features (problems, FEATURES) and completion tokens
    (problems,), and raises UserError where the total is too small.
    """

    pilot: Pilot
    decide: Decide

    @property
    def identity(self) -> JsonObject:
        """The pilot's inputs and the grader, because agreement depends on how answers are read and compared."""
        pilot = {"samples": self.pilot.rollouts.key, "scores": self.pilot.scores.key, "grader": self.grader.identity()}
        return stage_identity(self.kind, **pilot, **self.determinants)

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The pilot's rollouts and scores; the answers follow from the rollouts."""
        return ((self.pilot.rollouts, "rollouts"), (self.pilot.scores, "scores"))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The grades too, which hold the answers."""
        return (*super().inputs, self.pilot.grades)

    @property
    def pilot_size(self) -> int:
        """The pilot's number of rollouts."""
        return self.pilot.n

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Decide for all problems without a decision; of their pilots only some are in memory at a time."""
        features: list[Floats] = []
        spent: list[float] = []
        for some in in_batches(Extent(extent.units, 0, self.pilot.n)):
            pilots = join_all(self.pilot.graded(context.stage_of, some.units), context.judge)
            tokens = self.pilot.tokens(context.stage_of, some.units)
            for unit in some.units:
                features.append(features_of(pilots[unit].all, tokens[unit]))
                spent.append(float(sum(tokens[unit])))
                context.on_problem(unit)
        decisions = self.decide(np.array(features), np.array(spent))
        return {"decisions": decisions_table(self.problems.by_key, extent.units, decisions)}


@dataclass(frozen=True, eq=False, kw_only=True)
class FixedDecisionNode(AnyDecisionNode):
    """The same decision for every problem, without a pilot."""

    instant: ClassVar[bool] = True

    decision: Decision

    @property
    def identity(self) -> JsonObject:
        """See `determinants`."""
        return stage_identity(self.kind, **self.determinants)

    @property
    def pilot_size(self) -> int:
        """0: there is no pilot."""
        return 0

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:  # noqa: ARG002
        """Decide for the problems without a decision."""
        decisions = [self.decision] * len(extent.units)
        return {"decisions": decisions_table(self.problems.by_key, extent.units, decisions)}


def decisions_table(problems: Mapping[str, Problem], units: Sequence[str], decisions: Sequence[Decision]) -> pa.Table:
    """The decisions for `units` (problem keys), as rows of the `decisions` table."""
    rows = [
        {"problem_key": unit, "problem_id": problems[unit].problem_id, **vars(decision)}
        for unit, decision in zip(units, decisions, strict=True)
    ]
    return rows_table("decisions", rows)
