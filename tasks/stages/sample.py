"""The sample stage: a method's rollouts of one shard of problems, and their steps."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.determinants import determinants
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.methods.requests import Method, Outcome
from overthink.tasks.methods.thinking import Thinking, reasoning_body
from overthink.tasks.plugins import plugin_identities
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.recipes.method_config import Draws
from overthink.tasks.recipes.methods import AnyMethod, Cot
from overthink.tasks.recipes.sampling_config import ConfidenceConfig, SamplingConfig
from overthink.tasks.records import (
    Part,
    Problem,
    Rollout,
    Sample,
    Step,
    answer_parts,
    path_text,
    reasoning_parts,
    steps_of,
)
from overthink.tasks.stages.context import EngineContext
from overthink.tasks.stages.driver import Driver
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.node import EngineNode
from overthink.tasks.stages.rollout_signals import RolloutSignals


@dataclass(frozen=True, eq=False, kw_only=True)
class RolloutNode(EngineNode):
    """Base of the stages that make rollouts: one search per problem, stored as rollouts and steps."""

    policy: EngineIdentity
    sampling: SamplingConfig
    grader: Grader
    thinking: Thinking | None  # how the policy reasons, None where it does not; and what of it determines rollouts
    reasoning: JsonObject

    @abstractmethod
    def searches(self, context: EngineContext, extent: Extent) -> Callable[[str], Method]:
        """A factory of new searches, by problem key."""

    def search_of(self, method: AnyMethod, unit: str, first: int, last: int) -> Method:
        """A new search by a method for one problem's samples `first` (inclusive) to `last` (exclusive)."""
        settings = self.sampling
        draws = Draws(
            indices=range(first, last),
            sampling=settings.drawing(),
            delimiter=settings.step_delimiter,
            is_final=self.grader.domain.is_final,
            answer_of=partial(self.grader.extract, self.problems.by_key[unit], divided=self.thinking is not None),
            seed=int(content_key([self.seed, unit])[:8], 16),
            thinking=self.thinking,
            group=(settings.confidence or ConfidenceConfig()).group,
        )
        return method.build(draws)

    async def part(self, context: EngineContext, extent: Extent) -> dict[str, pa.Table]:
        """Run the searches of a shard's problems, all at once. Raises as `EngineNode.part`."""
        search_of_unit = self.searches(context, extent)

        async def solve(driver: Driver, unit: str) -> Outcome:
            return await driver.run(self.problems.by_key[unit], search_of_unit(unit))

        outcomes = await self.for_each(context, extent.units, solve)
        return self.tables_of(dict(zip(extent.units, outcomes, strict=True)))

    def tables_of(self, outcomes: Mapping[str, Outcome]) -> dict[str, pa.Table]:
        """The rollouts of some problems and their steps; `outcomes` by problem key."""
        rollouts: list[dict[str, Any]] = []
        steps: list[dict[str, Any]] = []
        for unit, outcome in outcomes.items():
            for rollout in outcome.rollouts:
                row, step_rows = self._rows(self.problems.by_key[unit], rollout)
                rollouts.append(row)
                steps.extend(step_rows)
        return {"rollouts": rows_table("rollouts", rollouts), "steps": rows_table("steps", steps)}

    def rollout_id(self, problem: Problem, rollout: Rollout) -> str:
        """A rollout's id: a hash of its stage, its problem and its number."""
        return content_key([self.key, problem.problem_key, rollout.sample_index])

    def _rows(self, problem: Problem, rollout: Rollout) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        rollout_id, delimiter = self.rollout_id(problem, rollout), self.sampling.step_delimiter
        samples = [part for part in rollout.path if isinstance(part, Sample)]
        signals = RolloutSignals(self.sampling.confidence or None)
        steps = self.steps(rollout)
        row = {
            "problem_key": problem.problem_key,
            "problem_id": problem.problem_id,
            "sample_index": rollout.sample_index,
            "rollout_id": rollout_id,
            "text": path_text(answer_parts(rollout.path), delimiter),
            "step_count": len(steps),
            "prompt_tokens": samples[0].prompt_tokens if samples else None,
            "completion_tokens": _sum_of([piece.completion_tokens for piece in samples]),
            "logprob_sum": _sum_of([piece.logprob_sum for piece in samples]),
            "stop_reason": rollout.stop_reason,
            **self._reasoned(rollout),
            **signals.of_rollout(samples),
        }
        known = [columns for parts in self._divided(rollout) for columns in signals.of_steps(*parts)]
        return row, [
            {"rollout_id": rollout_id, "step_index": index, **vars(step), **columns}
            for index, (step, columns) in enumerate(zip(steps, known, strict=True))
        ]

    def steps(self, rollout: Rollout) -> list[Step]:
        """A rollout's steps: of its answer, and of its reasoning where that is searched."""
        return [step for parts in self._divided(rollout) for step in steps_of(*parts)]

    def _divided(self, rollout: Rollout) -> list[tuple[list[Part], str]]:
        """The parts that have steps, with the delimiter of these."""
        answer = answer_parts(rollout.path), self.sampling.step_delimiter
        if self.thinking is None or not self.thinking.search:
            return [answer]
        return [(reasoning_body(rollout.path, self.thinking.marks), self.thinking.delimiter), answer]

    def _reasoned(self, rollout: Rollout) -> dict[str, Any]:
        """The reasoning, null where there is none; its tokens are unknown where an endpoint shows none."""
        if self.thinking is None:
            return {}
        parts = reasoning_parts(rollout.path)
        text = path_text(reasoning_body(rollout.path, self.thinking.marks), self.thinking.delimiter)
        shown = all(part.shown for part in rollout.path if isinstance(part, Sample))
        tokens = sum(len(part.tokens) for part in parts if isinstance(part, Sample))
        return {"reasoning_text": text if parts else None, "reasoning_tokens": tokens if shown else None}


@dataclass(frozen=True, eq=False, kw_only=True)
class MethodNode(RolloutNode):
    """The rollouts of one method of a recipe."""

    method: AnyMethod

    @property
    def determinants(self) -> JsonObject:
        """The part of the identity that sample and search stages have in common."""
        # n of independent rollouts is left out: a larger n adds rollouts to the same stage. Problems are left out too:
        # their keys are the units inside the stage, so a larger set adds units (docs/decisions.md).
        method = self.method
        plugged = plugin_identities("methods", [method.method])
        found = {
            "policy": self.policy.determinants,
            "method": determinants(method, exclude={"n"} if method.independent else ()),
            "sampling": determinants(self.sampling),
            "seed": self.seed,
            **self.reasoning,
            **plugged,
        }
        if isinstance(method, Cot):  # greedy: neither the recipe's temperature nor its seed has any effect
            found["sampling"] = determinants(self.sampling, exclude={"top_k", "min_p"})
            found["sampling"] |= {"temperature": 0.0, "top_p": 1.0}
        if method.reads_answers:
            found |= {"extraction": self.grader.grading.extraction, **own_code("extraction")}
        if method.is_search or method.reads_answers or plugged:
            found |= self.grader.further_identity()
        return found

    def searches(self, context: EngineContext, extent: Extent) -> Callable[[str], Method]:  # noqa: ARG002
        """The method's own search for every problem."""
        return lambda unit: self.search_of(self.method, unit, extent.first, extent.last)


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleNode(MethodNode):
    """The rollouts of a method that needs no verifier; independent rollouts have the same stage for every n."""

    kind: ClassVar[StageKind] = StageKind.SAMPLE
    tables: ClassVar[tuple[str, ...]] = ("rollouts", "steps", "calls")

    prm: None = None

    @property
    def identity(self) -> JsonObject:
        """See `determinants`."""
        return stage_identity(self.kind, **self.determinants)


def _sum_of(numbers: Sequence[float | None]) -> float | None:
    """The sum; None where one of them is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
