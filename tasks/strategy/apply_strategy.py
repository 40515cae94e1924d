"""The stages of one `compute_optimal` that need no engine, and the searches that its decisions ask for."""

from dataclasses import replace
from functools import partial

from pyarrow import Table

from overthink.storage.manifest import Cover
from overthink.tasks.domains.domain import Judge
from overthink.tasks.methods.compute_optimal import after_pilot
from overthink.tasks.methods.requests import Method
from overthink.tasks.plan.identity import JsonObject
from overthink.tasks.plan.run_plan import Plan, search_of
from overthink.tasks.plan.strategy_plan import StrategyPlan
from overthink.tasks.recipes.strategy_file import FixedChoice
from overthink.tasks.stages import decide as deciding
from overthink.tasks.stages.choose import Applied, ChooseWork, choose_decided
from overthink.tasks.stages.decide import DecideWork, Pilot
from overthink.tasks.stages.runner import StageJob, StageRunner
from overthink.tasks.stages.shards import ShardContext, ShardWork, shard_work
from overthink.tasks.strategy.decisions import decide, decide_alike


class Application:
    """A strategy being applied to the problems of a run."""

    def __init__(self, run: Plan, plan: StrategyPlan, stages: StageRunner) -> None:
        self.run = run
        self.plan = plan
        self.stages = stages
        stage = stages.store.stage
        pilot = None
        if plan.pilot is not None:
            assert plan.pilot.score_key is not None, "a recipe with a strategy names a PRM"
            samples, scores = stage(plan.pilot.make_key), stage(plan.pilot.score_key)
            pilot = Pilot(samples, scores, stage(plan.pilot.grade_key), plan.pilot.method.n)
        self.applied = Applied(
            pilot=pilot,
            decisions=stage(plan.decide_key),
            rest=stage(plan.search_key),
            grades=stage(plan.grade_key),
            most=plan.most,
        )

    async def decide(self) -> None:
        """The decisions that are not there yet, once the pilots, if there are any, are scored and graded."""
        pilot = self.applied.pilot
        if pilot is None:
            self.stages.write_once(self.plan.decide_key, self.plan.decide, self._fixed_decisions)
            return
        job = self._at_once(self.plan.decide_key, self.plan.decide, 1, pilot.digests())
        by_strategy = partial(decide, self.plan.strategy, self.plan.method)

        def work(judge: Judge, context: ShardContext) -> ShardWork:
            return shard_work(deciding.decide, DecideWork(context, pilot, by_strategy, judge))

        with self.run.recipe.grader.judge() as judge:
            await self.stages.run(job, partial(work, judge))

    def _fixed_decisions(self, cover: Cover) -> dict[str, Table]:
        assert self.plan.fixed is not None, "without a pilot all problems get the same"
        decisions = [decide_alike(self.plan.fixed)] * len(cover.units)
        return {"decisions": deciding.decisions_table(self.stages.problems, cover.units, decisions)}

    def following(self) -> StageJob:
        """The job of the rollouts that follow the pilots."""
        job = self._job(self.plan.search_key, self.plan.search, self.plan.most)
        return replace(job, sources=frozenset(self.applied.decisions.digests("decisions")))

    def choices(self) -> dict[str, FixedChoice]:
        """What was decided, by problem key."""
        if self.plan.fixed is not None:
            return dict.fromkeys(self.run.units, self.plan.fixed)
        choose = self.plan.strategy.choice
        rows = self.applied.decisions.table("decisions").to_pylist()
        return {row["problem_key"]: choose(row["budget"], row["predicted"]) for row in rows}

    def search(self, choices: dict[str, FixedChoice], problem_key: str, _first: int, _last: int) -> Method:
        """A fresh search for the rollouts that follow one problem's pilot."""
        recipe, method = self.run.recipe, choices[problem_key].method
        pilot = 0 if self.applied.pilot is None else self.applied.pilot.n
        search = search_of(recipe, method, problem_key, pilot, method.n)
        return after_pilot(search, pilot, recipe.sampling.step_delimiter)

    async def grade(self) -> None:
        """The grades of the rollouts that follow the pilots."""
        job = self._job(self.plan.grade_key, self.plan.grade, self.plan.most)
        await self.stages.grade(job, self.applied.rest, self.run.recipe.grader)

    async def select(self) -> None:
        """The answers chosen among all rollouts."""
        job = self._at_once(self.plan.select_key, self.plan.select, self.plan.most, self.applied.digests())

        def work(judge: Judge, context: ShardContext) -> ShardWork:
            return shard_work(choose_decided, ChooseWork(context, self.applied, judge))

        with self.run.recipe.grader.judge() as judge:
            await self.stages.run(job, partial(work, judge))

    def _at_once(self, key: str, identity: JsonObject, n: int, sources: tuple[str, ...]) -> StageJob:
        """A stage that takes all problems together."""
        return replace(self._job(key, identity, n), sources=frozenset(sources), shard_size=len(self.run.units))

    def _job(self, key: str, identity: JsonObject, n: int) -> StageJob:
        name = f"{identity['stage']} {self.plan.method_id}"
        return StageJob(self.stages.store.stage(key), identity, name, n, self.run.recipe.shard_size)
