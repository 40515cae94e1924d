"""The measure stage: a PRM's figures on labelled solutions or on the graded rollouts of a run."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.tasks.analysis.aggregation import AGGREGATIONS, Aggregation, aggregate
from overthink.tasks.analysis.prm_measures import (
    Figure,
    doubling_budgets,
    first_error_figures,
    lacking_kind,
    length_figures,
    ranking_figures,
    selection_figures,
)
from overthink.tasks.analysis.prm_quality import FirstError
from overthink.tasks.analysis.selectors import Booleans, Candidates, Floats
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.graded import column_by_rollout, in_batches, join_all, read_graded
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.node import Input, PlainNode
from overthink.tasks.stages.score import by_rollout, rows_within

PROBABLY_RIGHT = 0.5  # labels that are estimated probabilities count as right from this value on

Labels = Mapping[str, Mapping[int, float]]  # by rollout id and step index


@dataclass(frozen=True)
class ThresholdSplit:
    """Which solutions choose the threshold of F1: those of a share of the questions, chosen by a hash."""

    share: float
    seed: int

    def chooses(self, question: str) -> bool:
        """Whether this question's solutions choose the threshold; F1 is measured on the others."""
        return int(content_key([self.seed, question])[:12], 16) < self.share * 16**12


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasureNode(PlainNode):
    """A PRM's figures over one source of scored rollouts, all in one part."""

    kind: ClassVar[StageKind] = StageKind.MEASURE
    tables: ClassVar[tuple[str, ...]] = ("prm_metrics",)

    rollouts: Input
    scores: Input
    prm: str
    split: ThresholdSplit

    @abstractmethod
    def figures(self, context: ShardContext, extent: Extent) -> Iterator[tuple[str | None, Figure]]:
        """The figures, each with the labeller whose labels it uses, if any."""

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """Measure over all problems of the run."""
        rows = [
            {"prm": self.prm, "source": self.method_id, "labeller": labeller, **vars(figure)}
            for labeller, figure in self.figures(context, extent)
        ]
        for unit in extent.units:
            context.on_problem(unit)
        return {"prm_metrics": rows_table("prm_metrics", rows)}


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasureSolutionsNode(MeasureNode):
    """All figures for solutions whose first wrong step is known."""

    labeller: str

    @property
    def identity(self) -> JsonObject:
        """The scores that are measured, and the solutions that choose the threshold."""
        return stage_identity(
            self.kind,
            scores=self.scores.key,
            problems=self.problems.key,
            threshold=vars(self.split),
            **own_code("solution_measures"),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The scores, and the labels that they are compared with."""
        return ((self.scores, "scores"), (self.rollouts, "step_labels"))

    def figures(self, context: ShardContext, extent: Extent) -> Iterator[tuple[str | None, Figure]]:
        """Figures of single steps, and of solutions, which are right or wrong by their labels."""
        imported = context.stage_of(self.rollouts.key)
        labels = labels_by_rollout(imported.table("step_labels"))
        every = scored_rollouts(imported, context.stage_of(self.scores.key), labels, extent)
        for figure in _label_figures(every, self.problems.by_key, self.split):
            yield self.labeller, figure
        for figure in _solution_figures([solution for solution in every if solution.scores]):
            yield self.labeller, figure


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasureRolloutsNode(MeasureNode):
    """All figures for graded rollouts, and for their steps where a labeller has labelled them.

    `independent` means that any n of them represent a budget of n. `labels` are their steps' labels, `label_files` the
    digests of the files that hold them.
    """

    grades: Input
    independent: bool
    labels: Mapping[str, Labels]
    label_files: Sequence[str]
    seed: int

    @property
    def identity(self) -> JsonObject:
        """The scores that are measured, and the grades and labels that they are compared with."""
        return stage_identity(
            self.kind,
            grades=self.grades.key,
            scores=self.scores.key,
            problems=self.problems.key,
            n=self.n,
            labels=self.label_files,
            threshold=vars(self.split),
            seed=self.seed,
            **own_code("rollout_measures"),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """Grades and scores."""
        return ((self.grades, "grades"), (self.scores, "scores"))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The rollouts too, for their lengths."""
        return (*super().inputs, self.rollouts)

    def figures(self, context: ShardContext, extent: Extent) -> Iterator[tuple[str | None, Figure]]:
        """The figures; a rollout whose grade is unknown counts only in votes.

        The rollouts of some problems are in memory at a time; of all of them, a few numbers each.
        """
        made, grades, scores = (context.stage_of(one.key) for one in (self.rollouts, self.grades, self.scores))
        # By problem, as one table of all rollouts would be: sums of many numbers depend on their order.
        batches = list(in_batches(Extent(tuple(sorted(extent.units)), extent.first, extent.last)))
        for figure in _rollout_figures(RankedRollouts.of(made, grades, scores, some) for some in batches):
            yield None, figure
        budgets = doubling_budgets(extent.last) if self.independent else [extent.last]
        for figure in selection_figures(self._candidates(context, extent), budgets, self.seed):
            yield None, figure
        for labeller, by_id in self.labels.items():
            each = (scored_rollouts(made, scores, by_id, some) for some in batches)
            labelled = [one for batch in each for one in batch if one.labels]
            for figure in _label_figures(labelled, self.problems.by_key, self.split) if labelled else ():
                yield labeller, figure

    def _candidates(self, context: ShardContext, extent: Extent) -> Iterator[Candidates]:
        """The rollouts of each problem, with equal answers grouped."""
        grades, scores = context.stage_of(self.grades.key), context.stage_of(self.scores.key)
        for some in in_batches(extent):
            for pool in join_all(read_graded(grades, scores, some), context.judge).values():
                yield pool.all


@dataclass(frozen=True)
class ScoredRollout:
    """A scored rollout with labels of some steps; `found` is None where its first wrong step is unknown."""

    unit: str
    scores: Sequence[float]
    labels: Mapping[int, float]
    found: FirstError | None


def _solution_figures(solutions: Sequence[ScoredRollout]) -> Iterator[Figure]:
    """A solution is right where all its steps are."""
    known = [(solution.scores, solution.found.wrong is None) for solution in solutions if solution.found is not None]
    right = np.array([is_right for _, is_right in known], dtype=bool)
    for name in AGGREGATIONS:
        yield from ranking_figures(np.array([aggregate(scores, name) for scores, _ in known]), right, name)


def _label_figures(
    every: Sequence[ScoredRollout], problems: Mapping[str, Problem], split: ThresholdSplit
) -> Iterator[Figure]:
    """The figures of those with scores, and the share that has them where some have none."""
    solutions = [solution for solution in every if solution.scores]
    if len(solutions) < len(every):  # a verifier came to no verdict about some of their steps
        yield Figure("share_scored", len(solutions) / len(every), len(every))
    sides: dict[bool, list[FirstError]] = {True: [], False: []}
    for solution in solutions:
        if solution.found is not None:
            sides[split.chooses(problems[solution.unit].question)].append(solution.found)
    choosing, judged = sides[True], sides[False]
    if lacking_kind([one.wrong is not None for one in choosing], [one.wrong is not None for one in judged]):
        yield Figure("f1", None, len(judged))
    else:
        yield from first_error_figures(choosing, judged)
    steps = [
        (solution.scores[place], label >= PROBABLY_RIGHT)
        for solution in solutions
        for place, label in solution.labels.items()
    ]
    if steps:
        scores, right = (np.array(column) for column in zip(*steps, strict=True))
        yield from ranking_figures(scores, right, None)


@dataclass(frozen=True)
class RankedRollouts:
    """The rollouts of some problems whose grade is known: their aggregated scores and tokens, each (rollouts,)."""

    values: Mapping[Aggregation, Floats]
    right: Booleans
    tokens: Floats

    @classmethod
    def of(cls, made: Stage, grades: Stage, scores: Stage, extent: Extent) -> "RankedRollouts":
        """Those of an extent, by problem and sample index."""
        correct = column_by_rollout(grades.table("grades", extent.units), "correct")
        steps = by_rollout(scores.table("scores", extent.units), "score")
        tokens = column_by_rollout(rollouts_of(made, extent), "completion_tokens")
        known = [one for one in tokens if correct[one] is not None and one in steps]
        return cls(
            {name: np.array([aggregate(steps[one], name) for one in known]) for name in AGGREGATIONS},
            np.array([correct[one] for one in known], dtype=bool),
            np.array([tokens[one] for one in known], dtype=np.float64),
        )


def _rollout_figures(batches: Iterable[RankedRollouts]) -> Iterator[Figure]:
    """How well each aggregation ranks the rollouts whose grade is known."""
    every = list(batches)
    right, tokens = np.concatenate([one.right for one in every]), np.concatenate([one.tokens for one in every])
    for name in AGGREGATIONS:
        values = np.concatenate([one.values[name] for one in every])
        yield from ranking_figures(values, right, name)
        yield from length_figures(values, tokens, right, name)


def rollouts_of(made: Stage, extent: Extent) -> pa.Table:
    """The rows of `rollouts` of an extent, without their texts, by problem and sample index."""
    columns = ["problem_key", "rollout_id", "sample_index", "completion_tokens"]
    return rows_within(made.table("rollouts", extent.units).select(columns), extent)


def scored_rollouts(made: Stage, scores: Stage, labels: Labels, extent: Extent) -> list[ScoredRollout]:
    """The rollouts of some problems with their scores and labels."""
    steps = by_rollout(scores.table("scores", extent.units), "score")
    return [
        ScoredRollout(
            row["problem_key"],
            steps[row["rollout_id"]],
            labels.get(row["rollout_id"], {}),
            _first_error(steps[row["rollout_id"]], labels.get(row["rollout_id"], {})),
        )
        for row in rollouts_of(made, extent).to_pylist()
    ]


def _first_error(scores: Sequence[float], labels: Mapping[int, float]) -> FirstError | None:
    """The first wrong step; None where a step that may be it has no label."""
    for place in range(len(scores)):
        if place not in labels:
            return None
        if labels[place] < PROBABLY_RIGHT:
            return FirstError(tuple(scores), place)
    return FirstError(tuple(scores), None)


def labels_by_rollout(table: pa.Table) -> Labels:
    """One labeller's labels."""
    labels: dict[str, dict[int, float]] = defaultdict(dict)
    for row in table.to_pylist():
        labels[row["rollout_id"]][row["step_index"]] = row["label"]
    return labels
