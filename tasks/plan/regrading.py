"""A run's choices as today's grader makes them, from its stored rollouts, without any engine; nothing is stored."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from overthink.storage.files import read_json
from overthink.storage.manifest import Cover
from overthink.storage.stage_kinds import MAKE_ROLLOUTS, StageKind
from overthink.storage.stages import Stage
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.domains.domain import Judge
from overthink.tasks.plan.identity import own_code
from overthink.tasks.recipes.grading import Grader, grader_of
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.records import Problem
from overthink.tasks.stages.choose import Applied, ChooseWork, choose_part
from overthink.tasks.stages.decide import Pilot
from overthink.tasks.stages.grade import GradeWork, grade_part
from overthink.tasks.stages.select import SelectSettings, SelectWork, select_part
from overthink.tasks.stages.shards import ShardContext

Row = dict[str, Any]
Graders = frozenset[str]


def current_graders(run: Run) -> Graders:
    """Who grades a run and chooses in it today. Raises UserError where the package of its domain is not installed."""
    return frozenset({_grader({"grader": grader_of(run.recipe).identity()}), _grader(own_code("selection"))})


def graders_of(store: Store, uses: Iterable[StageUse]) -> Graders:
    """Who made some grade and select stages: figures are comparable where they are the same.

    Raises StorageError where the store no longer says so.
    """
    return frozenset(_grader(read_json(store.stage(use.key).folder / "stage.json")) for use in uses)


def _grader(identity: Row) -> str:
    return json.dumps([identity.get("grader"), identity.get("code")], sort_keys=True)


@contextmanager
def regrading(store: Store, run: Run) -> Iterator["Regrading"]:
    """Grade a run's methods anew by its own domain, in a folder that is gone afterwards. Raises as `grader_of` does."""
    grader = grader_of(run.recipe)
    with tempfile.TemporaryDirectory() as folder, grader.judge() as judge:
        yield Regrading(store, run, grader, Store(Path(folder)), judge)


class Regrading:
    """The stored rollouts of a run, graded anew into a store of their own."""

    def __init__(self, store: Store, run: Run, grader: Grader, scratch: Store, judge: Judge) -> None:
        self._store = store
        self._run = run
        self._grader = grader
        self._scratch = scratch
        self._judge = judge
        rows = self._stage(None, StageKind.PROBLEMS).table("problems").to_pylist()
        names = Problem.__dataclass_fields__
        self._problems = {row["problem_key"]: Problem(**{name: row[name] for name in names}) for row in rows}
        self._units = tuple(self._problems)

    def selections(self, method_id: str) -> list[Row]:
        """The rows of `selections` of one method. Raises StorageError where what it takes is not whole."""
        chosen = self._scratch.stage(f"select-{method_id}")
        if any(use.kind == StageKind.DECIDE for use in self._run.stages if use.method_id == method_id):
            self._choose(method_id, chosen)
        else:
            self._select(method_id, chosen)
        return list(chosen.table("selections").to_pylist())

    def _select(self, method_id: str, chosen: Stage) -> None:
        (use,) = self._uses(StageKind.GRADE, method_id)
        wanted = read_json(self._stage(method_id, StageKind.SELECT).folder / "stage.json")
        made = self._stage(method_id, *MAKE_ROLLOUTS)
        scored = None if wanted["scores"] is None else self._whole(self._store.stage(wanted["scores"]), use.n or 1)
        independent = wanted.get("independent")
        if independent is None:
            independent = _was_independent(self._run, method_id)
        work = SelectWork(
            self._context(chosen),
            grades=self._graded(made, use.n or 1),
            scores=scored,
            settings=SelectSettings(wanted["budgets"], wanted["selectors"], independent, self._run.seed),
            judge=self._judge,
        )
        select_part(work, Cover(self._units, 0, wanted["n"]))

    def _choose(self, method_id: str, chosen: Stage) -> None:
        """What was decided stays as it is; only the choice among the rollouts is made again."""
        pilot = None
        if self._uses(StageKind.SAMPLE, method_id):
            (sampled,) = self._uses(StageKind.SAMPLE, method_id)
            samples, n = self._store.stage(sampled.key), sampled.n or 1
            pilot = Pilot(samples, self._stage(method_id, StageKind.SCORE), self._graded(samples, n), n)
        (searched,) = self._uses(StageKind.SEARCH, method_id)
        rest, most = self._store.stage(searched.key), searched.n or 1
        decisions = self._stage(method_id, StageKind.DECIDE)
        applied = Applied(pilot, decisions, rest, self._graded(rest, most), most)
        choose_part(ChooseWork(self._context(chosen), applied, self._judge), Cover(self._units, 0, most))

    def _graded(self, made: Stage, n: int) -> Stage:
        self._whole(made, n)
        graded = self._scratch.stage(f"grade-{made.key}")
        work = GradeWork(self._context(graded), made, self._grader, self._judge)
        grade_part(work, Cover(self._units, 0, n))
        return graded

    def _context(self, stage: Stage) -> ShardContext:
        return ShardContext(stage, self._problems, lambda: None)

    def _whole(self, stage: Stage, n: int) -> Stage:
        damaged = next(filter(None, map(stage.damage, stage.entries())), None)
        if damaged or stage.missing(self._units, n, len(self._units)):
            raise StorageError(
                f"run {self._run.run_id}, stage {stage.key}: {damaged or 'parts are missing'}; run its recipe again"
            )
        return stage

    def _uses(self, kind: StageKind, method_id: str | None) -> list[StageUse]:
        return [use for use in self._run.stages if (use.kind, use.method_id) == (kind, method_id)]

    def _stage(self, method_id: str | None, *kinds: StageKind) -> Stage:
        uses = [use for use in self._run.stages if use.kind in kinds and use.method_id == method_id]
        return self._store.stage(uses[0].key)


def _was_independent(run: Run, method_id: str) -> bool:
    """Whether a method's rollouts are independent, which select stages did not always say."""
    if Recipe.own_key not in run.recipe:
        return bool(run.recipe.get("independent", False))
    methods = Recipe.model_validate(run.recipe).fixed_methods
    return next(method.independent for method in methods if method.method_id == method_id)
