"""The search stage: the search trees of one shard, and their rollouts with the scores given during the search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.methods.compute_optimal import after_pilot
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.recipes.strategy_file import FixedChoice, Strategy
from overthink.tasks.stages.context import EngineContext
from overthink.tasks.stages.decide import DecideNode, FixedDecisionNode
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.node import Input
from overthink.tasks.stages.sample import MethodNode, RolloutNode
from overthink.tasks.stages.score import critique_rows
from overthink.tasks.stages.tree_rows import tree_rows

MOST_DRAWS = 2**31 - 1  # the numbers of a search's repeated draws are far above n


@dataclass(frozen=True, eq=False, kw_only=True)
class TreeSearchNode(RolloutNode):
    """Base of the stages whose searches a PRM guides: they also store scores and the nodes of the trees.

    A search that was stopped resumes from the last journaled call.
    """

    kind: ClassVar[StageKind] = StageKind.SEARCH
    tables: ClassVar[tuple[str, ...]] = ("rollouts", "steps", "scores", "nodes", "calls")

    prm: EngineIdentity | None

    @property
    def calls(self) -> tuple[int, int]:
        """The range of all draws, which are numbered through the whole tree."""
        return 0, MOST_DRAWS

    def tables_of(self, outcomes: Mapping[str, Outcome]) -> dict[str, pa.Table]:
        """The rollouts, their steps and scores, and the trees; `outcomes` by problem key."""
        tables = super().tables_of(outcomes)
        tables["scores"] = rows_table("scores", self._score_rows(outcomes))
        if self.prm is not None and self.prm.writes_critiques:
            tables["critiques"] = rows_table("critiques", self._critique_rows(outcomes))
        tables["nodes"] = rows_table("nodes", tree_rows(self.key, self.problems.by_key, outcomes))
        return tables

    def _score_rows(self, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
        prm = None if self.prm is None else self.prm.address
        return [
            {
                "rollout_id": self.rollout_id(self.problems.by_key[unit], rollout),
                "prm": prm,
                "step_index": index,
                "score": score,
            }
            for unit, outcome in outcomes.items()
            for rollout in outcome.rollouts
            for index, score in enumerate(rollout.scores or ())
        ]

    def _critique_rows(self, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
        prm = None if self.prm is None else self.prm.address
        return [
            row
            for unit, outcome in outcomes.items()
            for rollout in outcome.rollouts
            for row in critique_rows(self.rollout_id(self.problems.by_key[unit], rollout), prm, rollout.critiques)
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchNode(TreeSearchNode, MethodNode):
    """The trees and rollouts of a search of a recipe."""

    @property
    def identity(self) -> JsonObject:
        """See `determinants`; a search limits the tokens of a step instead of a solution."""
        determinants = self.determinants
        if not self.reasoning:  # which it bounds
            del determinants["sampling"]["max_tokens"]
        prm = None if self.prm is None else self.prm.determinants
        return stage_identity(self.kind, prm=prm, **determinants, **own_code("candidates"))


@dataclass(frozen=True, eq=False, kw_only=True)
class FollowingNode(TreeSearchNode):
    """The rollouts that follow the pilots of a strategy, each problem's by its decided method.

    `decided` is the decide stage; `fixed` is the choice for every problem, None where a pilot decides.
    """

    strategy: Strategy
    fixed: FixedChoice | None
    decided: DecideNode | FixedDecisionNode

    @property
    def identity(self) -> JsonObject:
        """The decisions determine everything else."""
        choices = (*self.strategy.choices, *self.strategy.without_pilot)
        adapts = any(choice.method.reads_answers for choice in choices)
        return stage_identity(
            self.kind,
            decisions=self.decided.key,
            seed=self.seed,
            **self.reasoning,
            **own_code("candidates", *(("extraction",) if adapts else ())),
            **plugin_identities("methods", {choice.method.method for choice in choices}),
            **self.grader.further_identity(),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The decisions."""
        return ((self.decided, "decisions"),)

    def searches(self, context: EngineContext, extent: Extent) -> Callable[[str], Method]:
        """The search decided for each problem, numbered after its pilot."""
        choices, pilot = self._choices(context, extent), self.decided.pilot_size

        def search(unit: str) -> Method:
            method = choices[unit].method
            return after_pilot(self.search_of(method, unit, pilot, method.n), pilot, self.sampling.step_delimiter)

        return search

    def _choices(self, context: EngineContext, extent: Extent) -> Mapping[str, FixedChoice]:
        if self.fixed is not None:
            return dict.fromkeys(extent.units, self.fixed)
        rows = context.stage_of(self.decided.key).table("decisions", extent.units).to_pylist()
        return {row["problem_key"]: self.strategy.choice(row["budget"], row["predicted"]) for row in rows}
