"""The sample stage of methods that revise: it also stores every answer, critique and check of their chains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from overthink.storage.part_tables import rows_table
from overthink.tasks.methods.requests import Outcome
from overthink.tasks.stages.identity import JsonObject, own_code, stage_identity
from overthink.tasks.stages.sample import SampleNode
from overthink.tasks.stages.tree_rows import tree_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class RevisionNode(SampleNode):
    """The rollouts of a method that revises; in `nodes` a chain is a path, whose draws are the number of the chain."""

    tables: ClassVar[tuple[str, ...]] = ("rollouts", "steps", "nodes", "calls")

    @property
    def identity(self) -> JsonObject:
        """See `determinants`."""
        read = ("extraction",) if self.method.reads_answers else ()
        return stage_identity(self.kind, **(self.determinants | own_code("revisions", *read)))

    def tables_of(self, outcomes: Mapping[str, Outcome]) -> dict[str, pa.Table]:
        """The rollouts with their steps, and the chains; `outcomes` by problem key."""
        chains = rows_table("nodes", tree_rows(self.key, self.problems.by_key, outcomes))
        return super().tables_of(outcomes) | {"nodes": chains}
