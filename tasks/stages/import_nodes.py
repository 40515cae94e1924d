"""The import stage: rollouts of other tools, with the scores or step labels that came with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from overthink.storage.keys import content_key
from overthink.storage.manifest import Extent
from overthink.storage.part_tables import rows_table
from overthink.storage.stage_kinds import StageKind
from overthink.tasks.datasets.labelled import LabelledSolution
from overthink.tasks.importers.imported import ImportedSet
from overthink.tasks.importers.imported_tables import imported_tables
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.node import PlainNode

STEP_DELIMITER = "\n\n"


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportNode(PlainNode):
    """Rollouts that another tool stored in a `format`, all in one part; `prm` names the PRM of their scores."""

    kind: ClassVar[StageKind] = StageKind.IMPORT
    tables: ClassVar[tuple[str, ...]] = ("rollouts", "steps", "scores", "reported")

    imported: ImportedSet
    format: str
    columns: Mapping[str, Any]
    prm: str | None

    @property
    def identity(self) -> JsonObject:
        """The content that was read, and its format."""
        return stage_identity(self.kind, format=self.format, columns=dict(self.columns), content=self.imported.content)

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """The rows of all problems."""
        for unit in extent.units:
            context.on_problem(unit)
        return imported_tables(self.key, self.imported, self.prm)


@dataclass(frozen=True, eq=False, kw_only=True)
class SolutionsNode(PlainNode):
    """Labelled solutions, each as one rollout; `solutions` is by problem key."""

    kind: ClassVar[StageKind] = StageKind.IMPORT
    tables: ClassVar[tuple[str, ...]] = ("rollouts", "steps", "step_labels")
    instant: ClassVar[bool] = True

    labeller: str
    solutions: Mapping[str, LabelledSolution]

    @property
    def identity(self) -> JsonObject:
        """What the solutions have in common; a unit's key depends on the content of its solution."""
        return stage_identity(self.kind, labeller=self.labeller)

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:  # noqa: ARG002
        """The rows of the solutions that the stage lacks."""
        return solution_tables(self.key, self.labeller, self.solutions, extent)


def solution_tables(
    stage_key: str, labeller: str, solutions: Mapping[str, LabelledSolution], extent: Extent
) -> dict[str, pa.Table]:
    """The rollouts, steps and step labels of a shard; `solutions` by problem key, one rollout each.

    Tokens and log-probabilities are unknown, and so are the labels of steps after the first wrong one.
    """
    rollouts: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for unit in extent.units:
        solution = solutions[unit]
        rollout_id = content_key([stage_key, unit, 0])
        rollouts.append(
            {
                "problem_key": unit,
                "problem_id": solution.solution_id,
                "sample_index": 0,
                "rollout_id": rollout_id,
                "text": STEP_DELIMITER.join(solution.steps),
                "step_count": len(solution.steps),
            }
        )
        place = {"rollout_id": rollout_id}
        steps += [place | {"step_index": index, "text": text} for index, text in enumerate(solution.steps)]
        labels += [
            place | {"labeller": labeller, "step_index": index, "label": label}
            for index, label in enumerate(_labels(solution))
        ]
    return {
        "rollouts": rows_table("rollouts", rollouts),
        "steps": rows_table("steps", steps),
        "step_labels": rows_table("step_labels", labels),
    }


def _labels(solution: LabelledSolution) -> Sequence[float]:
    if solution.first_wrong is None:
        return [1.0] * len(solution.steps)
    return [1.0] * solution.first_wrong + [0.0]
