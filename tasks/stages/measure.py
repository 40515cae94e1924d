"""Stage measure: how far a PRM can be trusted, on labelled solutions or on the graded rollouts of a run."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from prefect import task

from overthink.storage.keys import content_key
from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import rows_table
from overthink.storage.stages import Stage
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
from overthink.tasks.analysis.selectors import AGGREGATIONS, aggregate
from overthink.tasks.domains.domain import Judge
from overthink.tasks.records import Problem
from overthink.tasks.stages.graded import column_by_rollout, join_all, read_graded
from overthink.tasks.stages.score import by_rollout, covered_rows
from overthink.tasks.stages.shards import PLAIN_TASK, ShardContext

PROBABLY_RIGHT = 0.5  # a label that is an estimated probability counts as right from here on

Labels = Mapping[str, Mapping[int, float]]  # by rollout id and step index
Figures = Callable[[Cover], Iterable[tuple[str | None, Figure]]]  # of a shard, with the labeller they rest on, if any


@dataclass(frozen=True)
class ThresholdSplit:
    """Which solutions choose the threshold of F1: those of a share of the questions, by a hash."""

    share: float
    seed: int

    def chooses(self, question: str) -> bool:
        """Whether this question's solutions choose; the others are judged."""
        return int(content_key([self.seed, question])[:12], 16) < self.share * 16**12


@dataclass(frozen=True)
class MeasureWork:
    """What one measure stage writes and from what."""

    context: ShardContext
    prm_id: str
    source: str
    figures: Figures
    sources: Sequence[str]


@task(name="measure", task_run_name="measure {cover.name}", **PLAIN_TASK)
async def measure(work: MeasureWork, cover: Cover) -> Entry:
    """Measure over all problems of the run and write the part. Raises StorageError."""
    return await asyncio.to_thread(_measure, work, cover)


def _measure(work: MeasureWork, cover: Cover) -> Entry:
    rows = [
        {"prm": work.prm_id, "source": work.source, "labeller": labeller, **vars(figure)}
        for labeller, figure in work.figures(cover)
    ]
    for _ in cover.units:
        work.context.on_problem()
    return work.context.stage.write_part(cover, {"prm_metrics": rows_table("prm_metrics", rows)}, work.sources)


@dataclass(frozen=True)
class ScoredRollout:
    """A scored rollout, some of whose steps are labelled; `found` is None where its first wrong step is unknown."""

    unit: str
    scores: Sequence[float]
    labels: Mapping[int, float]
    found: FirstError | None


def labelled_figures(
    imported: Stage, scores: Stage, labeller: str, problems: Mapping[str, Problem], split: ThresholdSplit, cover: Cover
) -> Iterator[tuple[str, Figure]]:
    """Everything that can be said where the first wrong step of each solution is known."""
    rollouts = covered_rows(imported.table("rollouts"), cover)
    labels = labels_by_rollout(imported.table("step_labels"))
    solutions = scored_rollouts(rollouts, scores, labels)
    for figure in (*_label_figures(solutions, problems, split), *_solution_figures(solutions)):
        yield labeller, figure


def _solution_figures(solutions: Sequence[ScoredRollout]) -> Iterator[Figure]:
    """A solution is right where all its steps are."""
    known = [(solution.scores, solution.found.wrong is None) for solution in solutions if solution.found is not None]
    right = np.array([is_right for _, is_right in known], dtype=bool)
    for name in AGGREGATIONS:
        yield from ranking_figures(np.array([aggregate(scores, name) for scores, _ in known]), right, name)


def _label_figures(
    solutions: Sequence[ScoredRollout], problems: Mapping[str, Problem], split: ThresholdSplit
) -> Iterator[Figure]:
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
    scores, right = (np.array(column) for column in zip(*steps, strict=True))
    yield from ranking_figures(scores, right, None)


@dataclass(frozen=True)
class MeasuredRollouts:
    """One method's graded and scored rollouts, with the labels of their steps by labeller.

    `independent` tells that any n of them stand for a budget of n.
    """

    samples: Stage
    grades: Stage
    scores: Stage
    labels: Mapping[str, Labels]
    independent: bool


def run_figures(
    measured: MeasuredRollouts,
    problems: Mapping[str, Problem],
    split: ThresholdSplit,
    seed: int,
    judge: Judge,
    cover: Cover,
) -> Iterator[tuple[str | None, Figure]]:
    """Everything that can be said of graded rollouts, and of their steps where a labeller has labelled them.

    A rollout whose grade is unknown counts in nothing but the votes.
    """
    grades, scores = measured.grades, measured.scores
    rollouts = covered_rows(measured.samples.table("rollouts"), cover)
    correct = column_by_rollout(grades.table("grades"), "correct")
    steps = by_rollout(scores.table("scores"), "score")
    known = [
        (steps[rollout_id], correct[rollout_id], tokens)
        for rollout_id, tokens in column_by_rollout(rollouts, "completion_tokens").items()
        if correct[rollout_id] is not None and steps[rollout_id]
    ]
    right = np.array([is_right for _, is_right, _ in known], dtype=bool)
    tokens = np.array([count for *_, count in known], dtype=np.float64)
    for name in AGGREGATIONS:
        values = np.array([aggregate(row, name) for row, *_ in known])
        for figure in (*ranking_figures(values, right, name), *length_figures(values, tokens, right, name)):
            yield None, figure
    graded = [pool.all for pool in join_all(read_graded(grades, scores, cover), judge).values()]
    budgets = doubling_budgets(cover.last) if measured.independent else [cover.last]
    for figure in selection_figures(graded, budgets, seed):
        yield None, figure
    for labeller, by_id in measured.labels.items():
        solutions = [one for one in scored_rollouts(rollouts, scores, by_id) if one.labels]
        for figure in _label_figures(solutions, problems, split) if solutions else ():
            yield labeller, figure


def scored_rollouts(rollouts: pa.Table, scores: Stage, labels: Labels) -> list[ScoredRollout]:
    """The rollouts of a shard with their scores and labels."""
    steps = by_rollout(scores.table("scores"), "score")
    return [
        ScoredRollout(
            row["problem_key"],
            steps[row["rollout_id"]],
            labels.get(row["rollout_id"], {}),
            _first_error(steps[row["rollout_id"]], labels.get(row["rollout_id"], {})),
        )
        for row in rollouts.select(["problem_key", "rollout_id"]).to_pylist()
    ]


def _first_error(scores: Sequence[float], labels: Mapping[int, float]) -> FirstError | None:
    """Where the first wrong step is; None where a step that may be it has no label."""
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
