"""The flow `evaluate`: sample, score, grade and select for every method of a recipe, each stage resumable."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_summary
from overthink.flows.orchestration.gate_events import keep_gate
from overthink.flows.orchestration.secret_blocks import open_policy, open_prm
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import StageKind
from overthink.storage.stages import Stage
from overthink.storage.store import Run, Store
from overthink.tasks.datasets.sources import load_problems
from overthink.tasks.engines.engine_protocol import Policy, Prm
from overthink.tasks.engines.registry import EngineSlot, check_engine
from overthink.tasks.methods.requests import Method
from overthink.tasks.plan.gpus import check_shared_gpus, gpus_taken
from overthink.tasks.plan.method_plan import MethodPlan, select_settings
from overthink.tasks.plan.prompt_check import check_prompts
from overthink.tasks.plan.run_plan import Plan, is_finished, make_plan, search_of
from overthink.tasks.recipes.recipe import Recipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.reporting.gate import check_gate
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import RunModels, StageJob, StageRunner, begin_run, concluded, in_flight_of
from overthink.tasks.stages.sample import RolloutWork, sample
from overthink.tasks.stages.search import search
from overthink.tasks.stages.shards import ShardContext, ShardWork, shard_work
from overthink.tasks.stages.sharing import with_others
from overthink.tasks.strategy.apply_strategy import Application


@flow(name="evaluate", flow_run_name="evaluate {recipe.name}", persist_result=False)
async def evaluate(recipe: Recipe, store: StorePlace, skip_bad_rows: bool = False, shared: bool = False) -> str:
    """Run a recipe, or what is missing of it, into a store; returns the run's id.

    A run that is `shared` is worked off together with all other processes that share it, each at shards of its own.

    Raises UserError for what the user can mend, StorageError, EngineDied or BadReply for what went wrong underneath;
    whatever was finished or journaled before is safe, and running the same recipe again goes on from there. Raises
    Regression where the recipe has a gate and the complete run does not pass it.
    """
    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    progress = RunProgress(terminal.get())
    evaluation = Evaluation(plan, open_store(store), progress, shared=shared)
    if recipe.gate is not None:
        check_gate(evaluation.store, recipe.gate)
    with progress.shown():
        if shared:
            ended_here = await evaluation.run_with_others()
        else:
            with evaluation.store.lock_run(plan.run_id):
                await evaluation.run()
            ended_here = True
    if recipe.gate is not None and ended_here:
        await asyncio.to_thread(keep_gate, evaluation.store, plan.run_id, recipe.gate)
    return plan.run_id


class Evaluation:
    """One run under way: its plan, its store and its engines, which may be those of other runs too."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        progress: RunProgress,
        policy: EngineSlot[Policy] | None = None,
        prm: EngineSlot[Prm] | None = None,
        shared: bool = False,
    ) -> None:
        self.plan = plan
        self.store = store
        self.stages = StageRunner(store, progress, plan.run_id, plan.by_key, shared)
        self.policy: EngineSlot[Policy] = policy or EngineSlot(plan.recipe.policy, open_policy)
        self.prm: EngineSlot[Prm] = prm or EngineSlot(plan.recipe.prm, open_prm)
        self.applications = [Application(plan, strategy, self.stages) for strategy in plan.strategies]

    async def run(self) -> None:
        """The whole run, its manifest kept true."""
        with concluded(self.store, self.begin()):
            await self.make_stages()
        await publish_summary(self.store, self.plan.run_id)

    async def run_with_others(self) -> bool:
        """The whole run together with all processes that share it; whether it was this one that ended it."""
        plan, store = self.plan, self.store
        if is_finished(plan, store) or not await with_others(store, plan.run_id, self.begin, self.make_stages):
            return False
        await publish_summary(store, plan.run_id)
        return True

    async def make_stages(self) -> None:
        """All stages in turn.

        Policy and PRM are loaded together only for searches and strategies: whatever needs one alone may have the whole
        device.
        """
        check_prompts(self.plan)
        for config in (self.plan.recipe.policy, self.plan.recipe.prm):
            if config is not None:
                await asyncio.to_thread(check_engine, config)
        check_shared_gpus(self.plan)
        self.write_problems()
        try:
            try:
                await self._make_all_rollouts()
            finally:
                await self.policy.close()
            for method in self.plan.methods:
                await self.score(method)
        finally:
            await self.prm.close()
        for method in self.plan.methods:
            await self.grade(method)
            await self.select(method)
        for application in self.applications:
            await application.grade()
            await application.select()

    def begin(self) -> Run:
        """Write the run's manifest: it is running."""
        plan = self.plan
        uses = tuple(replace(use, gpus=gpus_taken(plan.recipe, use.kind)) for use in plan.uses())
        models = RunModels(plan.policy, plan.prm)
        return begin_run(self.store, plan.run_id, plan.recipe, plan.problem_set.name, models, uses)

    def write_problems(self) -> None:
        """The stage that holds the problems."""
        name = self.plan.problem_set.name
        rows = [{"problem_set": name, **vars(problem)} for problem in self.plan.problem_set.problems]
        self.stages.write_problems(self.plan.problems_key, self.plan.problems, rows)

    async def _make_all_rollouts(self) -> None:
        pilots = [strategy.pilot for strategy in self.plan.strategies if strategy.pilot is not None]
        for method in sorted((*self.plan.methods, *pilots), key=lambda method: method.method.is_search):
            await self.make_rollouts(method)
        for method in pilots:
            await self.score(method)
            await self.grade(method)
        for application in self.applications:
            await application.decide()
            search = partial(application.search, application.choices())
            await self._roll_out(application.following(), search, application.applied.decisions)

    async def make_rollouts(self, method: MethodPlan) -> None:
        """The rollouts of one method that are not there yet."""
        job = self._job(method, method.make_key, method.make)
        await self._roll_out(job, partial(search_of, self.plan.recipe, method.method))

    async def _roll_out(
        self, job: StageJob, search_of_unit: Callable[[str, int, int], Method], decisions: Stage | None = None
    ) -> None:
        recipe = self.plan.recipe
        is_search = job.identity["stage"] == StageKind.SEARCH

        def work(context: ShardContext, access: EngineAccess) -> ShardWork:
            shared = RolloutWork(
                context,
                access,
                search=search_of_unit,
                delimiter=recipe.sampling.step_delimiter,
                seed=job.identity["seed"],
                model=self.plan.policy.name,
                prm_id=self.plan.prm_id if is_search else None,
                policy=self.policy,
                prm=self.prm if is_search else None,
                decisions=decisions,
            )
            return shard_work(search if is_search else sample, shared)

        await self.stages.run_journaled(job, in_flight_of(recipe.policy), work)

    async def score(self, method: MethodPlan) -> None:
        """The scores of one method's rollouts that are not there yet, where it does not score them itself."""
        if method.score is None or method.score_key is None or self.plan.prm_id is None:
            return
        recipe = self.plan.recipe
        job = self._job(method, method.score_key, method.score)
        samples = self.store.stage(method.make_key)
        await self.stages.score(job, samples, self.plan.prm_id, self.prm, recipe.seed)

    async def grade(self, method: MethodPlan) -> None:
        """The grades of one method's rollouts that are not there yet."""
        job = self._job(method, method.grade_key, method.grade)
        await self.stages.grade(job, self.store.stage(method.make_key), self.plan.recipe.grader)

    async def select(self, method: MethodPlan) -> None:
        """What the selectors choose among one method's rollouts."""
        recipe = self.plan.recipe
        job = self._job(method, method.select_key, method.select)
        grades = self.store.stage(method.grade_key)
        scores = None if method.scores_key is None else self.store.stage(method.scores_key)
        await self.stages.select(job, grades, scores, select_settings(recipe, method.method), recipe.grader)

    def _job(self, method: MethodPlan, key: str, identity: Mapping[str, Any]) -> StageJob:
        name = f"{identity['stage']} {method.method.method_id}"
        return StageJob(self.store.stage(key), identity, name, method.method.n, self.plan.recipe.shard_size)
