"""A finished run's graded rollouts and their costs, read from the store."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from overthink.storage.manifest import Extent
from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.selectors import SelectorName, needs_prm
from overthink.tasks.recipes.methods import AnyMethod
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.graded import Graded, read_graded
from overthink.tasks.stages.score import rows_within

COSTS_SQL = """
SELECT method_id, problem_id, sample_index,
       sum_of(output_tokens, kind = 'generate') AS tokens,
       sum_of(flops, kind = 'generate') AS policy_flops, sum_of(flops, kind = 'score') AS prm_flops
FROM call_costs WHERE run_id = '{run_id}' GROUP BY ALL"""
EVERY_SAMPLE = 2**31  # more than the number of any draw


class Spent(NamedTuple):
    """Completion tokens and FLOPs; NaN where unknown."""

    tokens: float
    policy_flops: float
    prm_flops: float

    @property
    def flops(self) -> float:
        """The FLOPs of both models."""
        return self.policy_flops + self.prm_flops

    def flops_for(self, selector: SelectorName) -> float:
        """The FLOPs of the models that a selector needs, for a method that needs no PRM itself."""
        return self.flops if needs_prm(selector) else self.policy_flops

    def and_then(self, more: "Spent") -> "Spent":
        """The sum of both."""
        return Spent(*(mine + theirs for mine, theirs in zip(self, more, strict=True)))


class RunReader:
    """One run; problems without a reference answer are left out."""

    def __init__(self, store: Store, run: Run) -> None:
        self.run = run
        self.recipe = Recipe.model_validate(run.recipe)
        self._store = store
        self._keys = {(use.kind, use.method_id): use.key for use in run.stages}
        problems = store.stage(self._keys[StageKind.PROBLEMS, None]).table("problems").to_pylist()
        self._problem_ids = {row["problem_key"]: row["problem_id"] for row in problems if row["reference"] is not None}
        self.chances = {row["problem_key"]: row["chance"] for row in problems}
        self._calls: dict[tuple[str, str], list[tuple[int, Spent]]] = defaultdict(list)
        for row in query(store, COSTS_SQL.format(run_id=run.run_id)).to_pylist():
            spent = Spent(*(np.nan if row[name] is None else float(row[name]) for name in Spent._fields))
            self._calls[row["method_id"], row["problem_id"]].append((row["sample_index"], spent))

    def graded(self, method: AnyMethod) -> dict[str, Graded]:
        """A method's graded and scored rollouts by problem key."""
        scored = StageKind.SEARCH if method.is_guided else StageKind.SCORE
        scores = self._store.stage(self._keys[scored, method.method_id])
        grades = self._store.stage(self._keys[StageKind.GRADE, method.method_id])
        return read_graded(grades, scores, self._cover(method.n))

    def completion_tokens(self, method: AnyMethod, samples: int) -> Mapping[str, Sequence[int]]:
        """The completion tokens of each of the first samples, by problem key."""
        making = StageKind.SEARCH if method.is_search else StageKind.SAMPLE
        made = self._store.stage(self._keys[making, method.method_id])
        tokens: dict[str, list[int]] = defaultdict(list)
        for row in rows_within(made.table("rollouts"), self._cover(samples)).to_pylist():
            tokens[row["problem_key"]].append(row["completion_tokens"])
        return tokens

    def spent(self, method: AnyMethod, problem_key: str, samples: int = EVERY_SAMPLE) -> Spent:
        """The cost of a problem's first samples."""
        calls = self._calls.get((method.method_id, self._problem_ids[problem_key]))
        if calls is None:
            return Spent(np.nan, np.nan, np.nan)
        return Spent(*np.array([spent for index, spent in calls if index < samples]).sum(axis=0).tolist())

    def _cover(self, samples: int) -> Extent:
        return Extent(tuple(self._problem_ids), 0, samples)
