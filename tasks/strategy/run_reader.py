"""A finished run's graded rollouts and their costs, read from the store."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from overthink.storage.manifest import Extent
from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.selectors import SelectorName, needs_prm
from overthink.tasks.recipes.methods import AnyMethod
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.graded import Graded, read_graded, tokens_by_problem

# Sums over the first samples of each problem, one triple of columns for each number of them.
COSTS_SQL = "SELECT method_id, problem_id, {sums} FROM call_costs WHERE run_id = '{run_id}' GROUP BY ALL"
SUMS_SQL = """sum_of(output_tokens, kind = 'generate' AND sample_index < {n}) AS tokens_{n},
    sum_of(flops, kind = 'generate' AND sample_index < {n}) AS policy_flops_{n},
    sum_of(flops, kind = 'score' AND sample_index < {n}) AS prm_flops_{n}"""
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
        self._stages = {(use.kind, use.method_id): store.stage(use.key).as_it_stands() for use in run.stages}
        problems = self._stages[StageKind.PROBLEMS, None].table("problems").to_pylist()
        self.problem_ids = {row["problem_key"]: row["problem_id"] for row in problems if row["reference"] is not None}
        self.chances = {row["problem_key"]: row["chance"] for row in problems}
        self._spent: dict[tuple[str, str, int], Spent] = {}

    def graded(self, method: AnyMethod, units: Sequence[str]) -> dict[str, Graded]:
        """A method's graded and scored rollouts of some problems, by problem key."""
        scores = self._stages[StageKind.SEARCH if method.is_guided else StageKind.SCORE, method.method_id]
        grades = self._stages[StageKind.GRADE, method.method_id]
        return read_graded(grades, scores, Extent(tuple(units), 0, method.n))

    def completion_tokens(self, method: AnyMethod, samples: int, units: Sequence[str]) -> Mapping[str, Sequence[int]]:
        """The completion tokens of each of the first samples of some problems, by problem key."""
        made = self._stages[StageKind.SEARCH if method.is_search else StageKind.SAMPLE, method.method_id]
        return tokens_by_problem(made, Extent(tuple(units), 0, samples))

    def add_up(self, samples: Collection[int]) -> None:
        """Sum the costs of each problem's first samples, for each of these numbers and for all of them."""
        counts = sorted({*samples, EVERY_SAMPLE})
        sums = ", ".join(SUMS_SQL.format(n=n) for n in counts)
        for row in query(self._store, COSTS_SQL.format(sums=sums, run_id=self.run.run_id)).to_pylist():
            for n in counts:
                known = (row[f"{name}_{n}"] for name in Spent._fields)
                spent = Spent(*(np.nan if value is None else float(value) for value in known))
                self._spent[row["method_id"], row["problem_id"], n] = spent

    def spent(self, method: AnyMethod, problem_key: str, samples: int = EVERY_SAMPLE) -> Spent:
        """The cost of a problem's first samples, a number that was added up; NaN where no call is stored."""
        where = method.method_id, self.problem_ids[problem_key], samples
        return self._spent.get(where, Spent(np.nan, np.nan, np.nan))
