"""The flow `rebuild`: what a finished run has lost and can be computed again from what is left, without any engine.

Everything is read from the store: neither models nor, but for lost problems, their source need be there. A stage is
made anew only under the address it had; where other code or packages would give it another, the run must be run again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow
from pydantic import ValidationError

from overthink.flows.prm_eval_run import prm_eval_run
from overthink.storage.completeness import IncompleteStage, problems_key
from overthink.storage.keys import labelled_key
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import ENGINES_OF, StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, StageUse, Store
from overthink.tasks.datasets.sources import ProblemSet, load_problems
from overthink.tasks.errors import UserError
from overthink.tasks.plan.identity import JsonObject, grade_identity, problems_identity, select_identity
from overthink.tasks.plan.method_plan import select_settings
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.records import Problem
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import StageJob, StageRunner


def irreparable(store: Store, run: Run, lost: Sequence[IncompleteStage]) -> list[str]:
    """Why a run cannot be rebuilt, a line each; none where it can. Nothing is written."""
    if Recipe.own_key not in run.recipe:
        return [str(loss) for loss in lost]
    engines = [f"{loss}; only an engine makes it" for loss in lost if loss.use.kind in ENGINES_OF]
    if engines:
        return engines
    try:
        rebuilding = _Rebuilding(store, run)
    except (UserError, StorageError, ValidationError) as error:
        return [f"{loss}; it cannot be computed from what is left: {error}" for loss in lost]
    strategies = [loss for loss in lost if loss.use.method_id is not None and not rebuilding.knows(loss.use)]
    return [f"{loss}; a strategy's choices are computed by the recipe alone" for loss in strategies]


@flow(name="rebuild", flow_run_name="rebuild {run_id}", persist_result=False)
async def rebuild(run_id: str, store: StorePlace) -> None:
    """Compute anew what a finished run lacks; see `irreparable` for what stands in the way."""
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(run_id), progress.shown():
        run = opened.find_run(run_id)
        await _Rebuilding(opened, run).carry_out(progress)
    if any(use.kind == StageKind.MEASURE for use in run.stages):
        await prm_eval_run(run_id, store)


class _Rebuilding:
    """A run's stages that need no engine, addressed anew. Raises where an address is not the one it had."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.recipe = Recipe.model_validate(run.recipe)
        self.problem_set = _problem_set(store, run, self.recipe).in_domain(self.recipe.domain)
        self.problems = problems_identity(self.problem_set)
        self.keys: dict[tuple[StageKind, str | None], str] = {(use.kind, use.method_id): use.key for use in run.stages}
        self.grades: dict[str, JsonObject] = {}
        self.choices: dict[str, JsonObject] = {}
        self._hold(StageKind.PROBLEMS, None, self.problems)
        for method in self.recipe.fixed_methods:
            made, scored = self.made_and_scored(method.method_id)
            grade = grade_identity(made, self.recipe.grader, self.problems)
            choice = select_identity(grade, scored, self.problems, method.n, select_settings(self.recipe, method))
            self._hold(StageKind.GRADE, method.method_id, grade)
            self._hold(StageKind.SELECT, method.method_id, choice)
            self.grades[method.method_id], self.choices[method.method_id] = grade, choice

    def made_and_scored(self, method_id: str) -> tuple[str, str | None]:
        """The addresses of a method's rollouts and of their scores, where there are any."""
        searched, sampled = self.keys.get((StageKind.SEARCH, method_id)), self.keys.get((StageKind.SAMPLE, method_id))
        if searched is not None:
            return searched, searched
        if sampled is None:
            raise StorageError(f"{method_id} has neither a sample nor a search stage")
        return sampled, self.keys.get((StageKind.SCORE, method_id))

    def knows(self, use: StageUse) -> bool:
        """Whether a stage is one that is computed here, or measured by `prm-eval`."""
        return use.kind == StageKind.MEASURE or use.method_id in self.choices

    def _hold(self, kind: StageKind, method_id: str | None, identity: Mapping[str, Any]) -> None:
        if self.keys.get((kind, method_id)) != labelled_key(kind, identity):
            raise StorageError(f"{kind} would not be what it was, by other code, packages or problems than then")

    async def carry_out(self, progress: RunProgress) -> None:
        """Every stage in turn, each only as far as parts are missing."""
        recipe = self.recipe
        by_key = {problem.problem_key: problem for problem in self.problem_set.problems}
        stages = StageRunner(self.store, progress, self.run.run_id, by_key)
        rows = [{"problem_set": self.problem_set.name, **vars(problem)} for problem in self.problem_set.problems]
        stages.write_problems(self.keys[StageKind.PROBLEMS, None], self.problems, rows)
        for method in recipe.fixed_methods:
            name = method.method_id
            made, scored = (None if key is None else self.store.stage(key) for key in self.made_and_scored(name))
            assert made is not None, "a method has rollouts"
            graded = self._job(StageKind.GRADE, name, self.grades[name], method.n)
            await stages.grade(graded, made, recipe.grader)
            chosen = self._job(StageKind.SELECT, name, self.choices[name], method.n)
            await stages.select(chosen, graded.stage, scored, select_settings(recipe, method), recipe.grader)

    def _job(self, kind: StageKind, method_id: str, identity: JsonObject, n: int) -> StageJob:
        stage = self.store.stage(labelled_key(kind, identity))
        return StageJob(stage, identity, f"{kind} {method_id}", n, self.recipe.shard_size)


def _problem_set(store: Store, run: Run, recipe: Recipe) -> ProblemSet:
    """The problems as they are stored, or, where they are lost, as their source gives them."""
    stage = store.stage(problems_key(run))
    if not stage.entries() or any(stage.damage(entry) for entry in stage.entries()):
        return load_problems(recipe.problems, skip_bad_rows=True)
    rows = stage.table("problems").to_pylist()
    problems = tuple(Problem(**{name: row[name] for name in Problem.__dataclass_fields__}) for row in rows)
    return ProblemSet(title=run.problem_set.rpartition("@")[0], problems=problems)
