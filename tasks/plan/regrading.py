"""A run's selections by today's grader, from its stored rollouts, without any engine; nothing is stored."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa

from overthink.storage.files import read_json
from overthink.storage.manifest import Extent
from overthink.storage.stage_kinds import MAKE_ROLLOUTS, StageKind
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.domains.domain import Judge
from overthink.tasks.plan.stored_run import stored_problems, stored_stage, stored_tests
from overthink.tasks.recipes.grading import Grader, grader_of
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.stages.choose import Applied, ChooseNode
from overthink.tasks.stages.context import ShardContext
from overthink.tasks.stages.decide import Pilot
from overthink.tasks.stages.grade import GradeNode
from overthink.tasks.stages.node import Input
from overthink.tasks.stages.select import ChoiceNode, SelectNode, SelectSettings

PROBLEMS_AT_ONCE = 50


@contextmanager
def regrading(store: Store, run: Run) -> Iterator["Regrading"]:
    """Grade a run's methods again by its own domain, in a temporary folder. Raises as `grader_of` does."""
    grader = grader_of(run.recipe)
    with tempfile.TemporaryDirectory() as folder, grader.judge() as judge:
        yield Regrading(store, run, grader, Store(Path(folder)), judge)


class Regrading:
    """The stored rollouts of a run, graded again into a temporary store."""

    def __init__(self, store: Store, run: Run, grader: Grader, scratch: Store, judge: Judge) -> None:
        self._store = store
        self._run = run
        self._grader = grader
        self._scratch = scratch
        self._judge = judge
        self._problems = stored_problems(store, run)

    def selections(self, method_id: str) -> pa.Table:
        """The table `selections` of one method. Raises StorageError where a stage that it needs is incomplete."""
        decided = any(use.kind == StageKind.DECIDE for use in self._run.stages if use.method_id == method_id)
        chosen = self._choose(method_id) if decided else self._select(method_id)
        extent = Extent(self._problems.units, 0, chosen.n)
        return chosen.part(self._context(chosen.key), extent)["selections"]

    def _select(self, method_id: str) -> ChoiceNode:
        made = stored_stage(self._run, method_id, *MAKE_ROLLOUTS)
        earlier = self._store.stage(stored_stage(self._run, method_id, StageKind.SELECT).key)
        wanted = read_json(earlier.folder / "stage.json")
        scores = None
        if wanted["scores"] is not None:
            scores = self._whole(stored_stage(self._run, method_id, StageKind.SCORE, *MAKE_ROLLOUTS))
        independent = wanted.get("independent")
        if independent is None:
            independent = was_independent(self._run, method_id)
        return SelectNode(
            problems=self._problems,
            method_id=method_id,
            n=wanted["n"],
            rollouts=made,
            grades=self._graded(made),
            scores=scores,
            settings=SelectSettings(wanted["budgets"], wanted["selectors"], independent, self._run.seed),
        )

    def _choose(self, method_id: str) -> ChoiceNode:
        """The decisions stay as they are; only the selection among the rollouts is repeated."""
        pilot = None
        if any(use.kind == StageKind.SAMPLE for use in self._run.stages if use.method_id == method_id):
            sampled = stored_stage(self._run, method_id, StageKind.SAMPLE)
            scores = stored_stage(self._run, method_id, StageKind.SCORE)
            pilot = Pilot(sampled, scores, self._graded(sampled), sampled.n)
        rest = stored_stage(self._run, method_id, StageKind.SEARCH)
        decisions = stored_stage(self._run, method_id, StageKind.DECIDE)
        applied = Applied(pilot, decisions, rest, self._graded(rest), rest.n)
        return ChooseNode(problems=self._problems, method_id=method_id, n=rest.n, applied=applied, selectors=())

    def _graded(self, made: Input) -> GradeNode:
        self._whole(made)
        node = GradeNode(
            problems=self._problems,
            method_id=made.method_id,
            n=made.n,
            rollouts=made,
            grader=self._grader,
            tests=stored_tests(self._run, made),
        )
        context = self._context(node.key)
        for extent in context.stage.missing(self._problems.units, node.n, PROBLEMS_AT_ONCE):
            node.make_now(context, extent)
        return node

    def _context(self, key: str) -> ShardContext:
        return ShardContext(self._scratch.stage(key), cache(self._stage_of), self._judge, lambda _: None)

    def _stage_of(self, key: str) -> Stage:
        """The stage in the temporary store, or else the run's stored one."""
        made_here = self._scratch.stage(key)
        return (made_here if made_here.entries() else self._store.stage(key)).as_it_stands()

    def _whole(self, read: Input) -> Input:
        stage = self._store.stage(read.key)
        damaged = next(filter(None, map(stage.damage, stage.entries())), None)
        if damaged or stage.missing(self._problems.units, read.n, len(self._problems.units)):
            raise StorageError(
                f"run {self._run.run_id}, stage {stage.key}: {damaged or 'parts are missing'}; run its recipe again"
            )
        return read


def was_independent(run: Run, method_id: str) -> bool:
    """Whether a method's rollouts are independent, which select stages of early versions do not say."""
    if Recipe.own_key not in run.recipe:
        return bool(run.recipe.get("independent", False))
    methods = Recipe.model_validate(run.recipe).fixed_methods
    return any(method.independent for method in methods if method.method_id == method_id)  # a strategy is none of them
