"""The label stage: how often the policy reaches a right answer when it continues from each step of a rollout."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.tasks.determinants import determinants
from overthink.tasks.domains.domain import Judge
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.methods.continuations import (
    ContinuationCounts,
    Prefix,
    continue_prefixes,
    count_prefixes,
    count_verdicts,
    hopeful,
)
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.recipes.sampling_config import SamplingConfig
from overthink.tasks.records import Problem, Sample
from overthink.tasks.stages.context import EngineContext
from overthink.tasks.stages.driver import Driver
from overthink.tasks.stages.grade import is_right, judge_answers
from overthink.tasks.stages.graded import column_by_rollout
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.measure import labels_by_rollout
from overthink.tasks.stages.node import EngineNode, Input
from overthink.tasks.stages.score import read_written
from overthink.tasks.training.examples import LabelledRollout


@dataclass(frozen=True)
class KnownRollout:
    """A stored rollout; `correct` is None where its grade is unknown."""

    rollout_id: str
    steps: Prefix
    correct: bool | None


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelNode(EngineNode):
    """The labels of the steps of graded rollouts, by `continuations` draws from the policy after each prefix.

    A step's label is the share, in [0, 1], of its continuations with a right answer: the rollouts themselves, `drawn`
    of each problem, and as many new draws as make up `continuations`.
    """

    kind: ClassVar[StageKind] = StageKind.LABEL
    tables: ClassVar[tuple[str, ...]] = ("step_labels", "calls")

    rollouts: Input
    grades: Input
    drawn: int
    continuations: int
    sampling: SamplingConfig
    grader: Grader
    policy: EngineIdentity
    prm: None = None

    @property
    def identity(self) -> JsonObject:
        """The rollouts and the policy that continues them, which may tokenize given text differently from its own."""
        return stage_identity(
            self.kind,
            grades=self.grades.key,
            rollouts=self.drawn,
            continuations=self.continuations,
            policy=self.policy.determinants | self.policy.further,
            sampling=determinants(self.sampling, exclude={"confidence"}),
            extraction=self.grader.grading.extraction,
            seed=self.seed,
            **own_code("labels"),
        )

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The rollouts and their grades."""
        return ((self.rollouts, "rollouts"), (self.grades, "grades"))

    @property
    def title(self) -> str:
        """The kind of stage and the number of continuations behind each label."""
        return f"{self.kind} × {self.continuations}"

    @property
    def samples(self) -> int:
        """The number of continuations behind each label."""
        return self.continuations

    @property
    def calls(self) -> tuple[int, int]:
        """The range of all continuations."""
        return 0, self.continuations

    @property
    def labeller(self) -> str:
        """The name of the label's source in the table `step_labels`."""
        return f"{self.policy.name} × {self.continuations}"

    async def part(self, context: EngineContext, extent: Extent) -> dict[str, pa.Table]:
        """Label every step of one shard's rollouts. Raises as every stage of engines."""
        graded = await asyncio.to_thread(self._graded, context, extent)

        async def label(driver: Driver, unit: str) -> list[dict[str, Any]]:
            return await Labelling(self, context.judge, driver).label(self.problems.by_key[unit], graded[unit])

        found = await self.for_each(context, extent.units, label)
        return {"step_labels": rows_table("step_labels", [row for rows in found for row in rows])}

    def _graded(self, context: EngineContext, extent: Extent) -> dict[str, list[KnownRollout]]:
        correct = column_by_rollout(context.stage_of(self.grades.key).table("grades", extent.units), "correct")
        written = read_written(context.stage_of(self.rollouts.key), Extent(extent.units, 0, self.drawn))
        return {
            unit: [KnownRollout(one.rollout_id, one.steps, correct[one.rollout_id]) for one in rollouts]
            for unit, rollouts in written.items()
        }


@dataclass(frozen=True)
class Labelling:
    """Labels the rollouts of a problem."""

    node: LabelNode
    judge: Judge
    driver: Driver

    async def label(self, problem: Problem, rollouts: Sequence[KnownRollout]) -> list[dict[str, Any]]:
        """The rows of `step_labels` of one problem's rollouts; a step without a known continuation has no row."""
        known = count_prefixes([(rollout.steps, rollout.correct) for rollout in rollouts])
        for depth in range(1, max(map(len, known), default=0) + 1):
            prefixes = hopeful(known, depth)
            for prefix, evidence in (await self._draw(problem, prefixes, known)).items():
                known[prefix] += evidence
        return [
            {"rollout_id": rollout.rollout_id, "labeller": self.node.labeller, "step_index": index, "label": value}
            for rollout in rollouts
            for index, value in enumerate(_labels(rollout, known))
            if value is not None
        ]

    async def _draw(
        self, problem: Problem, prefixes: Sequence[Prefix], known: Mapping[Prefix, ContinuationCounts]
    ) -> dict[Prefix, ContinuationCounts]:
        """Draw the continuations that each prefix lacks; returns the counts of right ones."""
        settings = self.node.sampling
        counts = {prefix: max(0, self.node.continuations - known[prefix].count) for prefix in prefixes}
        paths = {prefix: self._as_written(prefix) for prefix in prefixes if counts[prefix]}
        sampling = replace(settings.drawing(), top_logprobs=0)
        drawn = await self.driver.run(problem, continue_prefixes(paths, counts, sampling))
        texts = {
            prefix: [settings.step_delimiter.join((*prefix, sample.text)) for sample in samples]
            for prefix, samples in drawn.items()
        }
        return await asyncio.to_thread(self._grade, problem, texts)

    def _as_written(self, prefix: Prefix) -> tuple[Sample, ...]:
        policy, delimiter = self.driver.policy, self.node.sampling.step_delimiter
        assert policy is not None, "labels are drawn from a policy"
        steps = [(step, step + delimiter, number == 0) for number, step in enumerate(prefix)]
        return tuple(Sample(step, policy.tokens(text, begins), (), (), "delimiter", 0) for step, text, begins in steps)

    def _grade(self, problem: Problem, texts: Mapping[Prefix, Sequence[str]]) -> dict[Prefix, ContinuationCounts]:
        drawn = [(prefix, self.node.grader.extract(problem, text)) for prefix in texts for text in texts[prefix]]
        judged = judge_answers(problem, [answer for _, answer in drawn], self.judge)
        verdicts: dict[Prefix, list[bool | None]] = {prefix: [] for prefix in texts}
        for (prefix, _), one in zip(drawn, judged, strict=True):
            verdicts[prefix].append(is_right(problem, one))
        return {prefix: count_verdicts(found) for prefix, found in verdicts.items()}


def _labels(rollout: KnownRollout, known: Mapping[Prefix, ContinuationCounts]) -> Iterator[float | None]:
    """The label of each step; the last one's is the rollout's own grade."""
    for end in range(1, len(rollout.steps)):
        yield known[rollout.steps[:end]].label
    if rollout.steps:
        yield None if rollout.correct is None else float(rollout.correct)


def labelled_rollouts(
    samples: Stage, labels: Stage, problems: Mapping[str, Problem], extent: Extent
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
        for unit, rollouts in read_written(samples, extent).items()
        for rollout in rollouts
    ]
