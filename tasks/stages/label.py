"""Stage label: how often the policy ends right when it goes on from each step of one shard's rollouts."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import task

from overthink.storage.manifest import Cover, Entry
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.stages import Stage
from overthink.tasks.domains.domain import Judge
from overthink.tasks.engines.engine_protocol import Policy
from overthink.tasks.engines.registry import EngineSlot
from overthink.tasks.errors import EngineDied
from overthink.tasks.methods.continuations import (
    ContinuationCounts,
    Prefix,
    continue_prefixes,
    evidence_of,
    hopeful,
    rollouts_as_evidence,
)
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.records import Problem, Sample, Sampling
from overthink.tasks.stages.driver import Driver, EngineAccess
from overthink.tasks.stages.grade import is_right, judge_answers
from overthink.tasks.stages.graded import column_by_rollout
from overthink.tasks.stages.measure import labels_by_rollout
from overthink.tasks.stages.score import read_written
from overthink.tasks.stages.shards import ENGINE_TASK, ShardContext
from overthink.tasks.training.examples import LabelledRollout


@dataclass(frozen=True)
class LabelWork:
    """Everything the shards of one label stage share.

    `rollouts` and `continuations` are counts: of each problem's rollouts, and of what goes on from each of their steps.
    """

    context: ShardContext
    access: EngineAccess
    samples: Stage
    grades: Stage
    rollouts: int
    continuations: int
    sampling: Sampling
    delimiter: str
    grader: Grader
    judge: Judge
    seed: int
    model: str
    policy: EngineSlot[Policy]

    @property
    def labeller(self) -> str:
        """Who says whether a step is right, in the table `step_labels`."""
        return f"{self.model} × {self.continuations}"


@dataclass(frozen=True)
class KnownRollout:
    """A rollout as it lies in the store; `correct` is None where its grade is unknown."""

    rollout_id: str
    steps: Prefix
    correct: bool | None


@task(name="label", task_run_name="label {cover.name}", **ENGINE_TASK)
async def label(work: LabelWork, cover: Cover) -> Entry:
    """Label every step of one shard's rollouts and write its part.

    A step's label is the share, in [0, 1], of what went on from it that ended right: the rollouts themselves, and as
    many fresh draws as are lacking to `continuations`. Raises EngineDied (worth a retry), BadReply or StorageError;
    journaled calls are safe in every case.
    """
    graded = await asyncio.to_thread(_read_graded, work, cover)
    policy = await work.policy.get()
    labelling = Labelling(work, policy)
    results = await asyncio.gather(
        *(labelling.label(work.context.problems[unit], graded[unit]) for unit in cover.units), return_exceptions=True
    )
    rows: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, EngineDied):
            await work.policy.discard(policy)
        if isinstance(result, BaseException):
            raise result
        rows += result
    calls = await work.access.recorder.take(cover.units, 0, work.continuations)
    tables = {"step_labels": rows_table("step_labels", rows), "calls": calls_table(calls)}
    sources = work.samples.digests("rollouts", cover.units) + work.grades.digests("grades", cover.units)
    entry = await asyncio.to_thread(work.context.stage.write_part, cover, tables, sources)
    await work.access.recorder.forget([call.call_key for call in calls])
    return entry


class Labelling:
    """Labels the rollouts of a shard's problems, all at once."""

    def __init__(self, work: LabelWork, policy: Policy) -> None:
        self._work = work
        self._policy = policy
        self._driver = Driver(
            stage_key=work.context.stage.key,
            seed=work.seed,
            model=work.model,
            prm_id=None,
            policy=policy,
            prm=None,
            access=work.access,
        )

    async def label(self, problem: Problem, rollouts: Sequence[KnownRollout]) -> list[dict[str, Any]]:
        """The rows of `step_labels` of one problem's rollouts; a step of which nothing is known has none."""
        known = rollouts_as_evidence([(rollout.steps, rollout.correct) for rollout in rollouts])
        for depth in range(1, max(map(len, known), default=0) + 1):
            prefixes = hopeful(known, depth)
            for prefix, evidence in (await self._draw(problem, prefixes, known)).items():
                known[prefix] += evidence
        self._work.context.on_problem()
        return [
            {"rollout_id": rollout.rollout_id, "labeller": self._work.labeller, "step_index": index, "label": value}
            for rollout in rollouts
            for index, value in enumerate(_labels(rollout, known))
            if value is not None
        ]

    async def _draw(
        self, problem: Problem, prefixes: Sequence[Prefix], known: Mapping[Prefix, ContinuationCounts]
    ) -> dict[Prefix, ContinuationCounts]:
        """What the draws say that each prefix lacks."""
        work = self._work
        counts = {prefix: max(0, work.continuations - known[prefix].count) for prefix in prefixes}
        paths = {prefix: self._as_written(prefix) for prefix in prefixes if counts[prefix]}
        drawn = await self._driver.run(problem, continue_prefixes(paths, counts, work.sampling))
        texts = {
            prefix: [work.delimiter.join((*prefix, sample.text)) for sample in samples]
            for prefix, samples in drawn.items()
        }
        return await asyncio.to_thread(self._grade, problem, texts)

    def _as_written(self, prefix: Prefix) -> tuple[Sample, ...]:
        steps = [(step, step + self._work.delimiter, number == 0) for number, step in enumerate(prefix)]
        return tuple(
            Sample(step, self._policy.tokens(text, begins), (), (), "delimiter", 0) for step, text, begins in steps
        )

    def _grade(self, problem: Problem, texts: Mapping[Prefix, Sequence[str]]) -> dict[Prefix, ContinuationCounts]:
        drawn = [(prefix, self._work.grader.extract(text)) for prefix in texts for text in texts[prefix]]
        judged = judge_answers(problem, [answer for _, answer in drawn], self._work.judge)
        verdicts: dict[Prefix, list[bool | None]] = {prefix: [] for prefix in texts}
        for (prefix, _), one in zip(drawn, judged, strict=True):
            verdicts[prefix].append(is_right(problem, one))
        return {prefix: evidence_of(found) for prefix, found in verdicts.items()}


def _labels(rollout: KnownRollout, known: Mapping[Prefix, ContinuationCounts]) -> Iterator[float | None]:
    """The label of each step; the last one's is the rollout's own grade."""
    for end in range(1, len(rollout.steps)):
        yield known[rollout.steps[:end]].label
    if rollout.steps:
        yield None if rollout.correct is None else float(rollout.correct)


def _read_graded(work: LabelWork, cover: Cover) -> dict[str, list[KnownRollout]]:
    correct = column_by_rollout(work.grades.table("grades"), "correct")
    written = read_written(work.samples, Cover(cover.units, 0, work.rollouts))
    return {
        unit: [KnownRollout(one.rollout_id, one.steps, correct[one.rollout_id]) for one in rollouts]
        for unit, rollouts in written.items()
    }


def labelled_rollouts(
    samples: Stage, labels: Stage, problems: Mapping[str, Problem], cover: Cover
) -> list[LabelledRollout]:
    """The rollouts of some problems with the labels of their steps."""
    by_id = labels_by_rollout(labels.table("step_labels"))
    return [
        LabelledRollout(
            unit,
            problems[unit].question,
            rollout.steps,
            tuple(by_id.get(rollout.rollout_id, {}).get(index) for index in range(len(rollout.steps))),
        )
        for unit, rollouts in read_written(samples, cover).items()
        for rollout in rollouts
    ]
