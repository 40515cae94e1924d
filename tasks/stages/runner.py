"""Makes the stages of a run: only what is missing, each under its lock and verified first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial

from prefect.utilities.annotations import quote

from overthink.storage.manifest import Extent
from overthink.storage.stages import Shard, Stage
from overthink.storage.store import Store
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.stages.context import EngineContext, Engines, ShardContext
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.node import EngineNode, PlainNode, StageNode, asks
from overthink.tasks.stages.progress import RunProgress, StageProgress
from overthink.tasks.stages.progress_artifact import publish_progress
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.shards import MakePart, part_task, run_shards

DEFAULT_IN_FLIGHT = 256
QUEUE_AHEAD = 4  # keeps the policy busy, though half of a search's calls in flight may wait for the PRM
CarryOut = Callable[[StageProgress, Shard, Sequence[Extent]], Awaitable[None]]


@dataclass(frozen=True)
class StageRunner:
    """Makes the stages of one run; other processes make them too where it is `shared`."""

    store: Store
    progress: RunProgress
    run_id: str
    engines: Engines
    grader: Grader
    shared: bool = False

    async def make(self, node: StageNode) -> None:
        """Make what a stage lacks, shard by shard. Raises EngineDied, BadReply or StorageError."""
        stage = self.store.stage(node.key)
        with self.grader.judge() as judge:
            context = ShardContext(stage, cache(self._finished), judge, lambda: None)
            if isinstance(node, EngineNode):
                await self._make_shards(node, stage, self._journaled(node, context))
            elif isinstance(node, PlainNode) and node.instant:
                self._make_at_once(node, context)
            elif isinstance(node, PlainNode):
                await self._make_shards(node, stage, self._plain(node, context))
            else:
                raise AssertionError(f"{type(node).__name__} is neither a PlainNode nor an EngineNode")

    def _finished(self, key: str) -> Stage:
        """A stage that is read: it was made before, so its manifest is read once."""
        return self.store.stage(key).as_it_stands()

    def _make_at_once(self, node: PlainNode, context: ShardContext) -> None:
        """Make it in one part, without progress; processes that share the run wait for it."""
        stage = context.stage

        def write() -> None:
            stage.describe(node.identity)
            stage.verify()
            for extent in stage.missing(node.problems.units, 1, len(node.problems.units)):
                node.make_now(context, extent)

        with self._locked(stage, self.run_id, write):
            pass

    def _plain(self, node: PlainNode, context: ShardContext) -> CarryOut:
        async def carry_out(line: StageProgress, _: Shard, extents: Sequence[Extent]) -> None:
            counted = replace(context, on_problem=line.on_problem)
            await _in_turn(node, partial(node.make, counted), extents)

        return carry_out

    def _journaled(self, node: EngineNode, shared: ShardContext) -> CarryOut:
        """Make each shard with a journal of its calls, which is deleted when the shard is done."""
        asked = self.engines.policy if asks(node, "policy") else self.engines.prm
        turn = asyncio.Semaphore(in_flight_of(None if asked is None else asked.config))  # one limit for all shards

        async def carry_out(line: StageProgress, shard: Shard, extents: Sequence[Extent]) -> None:
            recorder = Recorder(await asyncio.to_thread(shared.stage.journals.open, shard.name))
            access = EngineAccess(recorder, turn, line.on_call)
            counted = replace(shared, on_problem=line.on_problem)
            context = EngineContext(**vars(counted), engines=self.engines, access=access)
            try:
                await _in_turn(node, partial(node.make, context), extents)
            finally:
                await recorder.close()

        return carry_out

    async def _make_shards(self, node: StageNode, stage: Stage, carry_out: CarryOut) -> None:
        units, size = node.problems.units, node.shard_size or len(node.problems.units)
        with self._locked(stage, f"{self.run_id}, {size} problems a shard", partial(self._prepare, node, stage, size)):
            shards = stage.shards(units, node.n, size)
            if not shards:
                return
            line = self.progress.stage(node.title, sum(len(shard.lacking) for shard in shards))
            artifact = await publish_progress(self.run_id, node.title, len(shards))

            async def finish(shard: Shard) -> None:
                with stage.lease(shard):
                    extents = [extent for extent in shard.extents if not stage.holds(extent)]
                    if extents:
                        await carry_out(line, shard, extents)
                    else:  # another process made it, and may have died before it deleted the journal
                        stage.journals.drop(shard.name)
                        line.advance(len(shard.lacking))
                await artifact.advance()

            await run_shards(shards, finish)

    def _prepare(self, node: StageNode, stage: Stage, size: int) -> None:
        """Prepare a stage before any work: set damaged parts aside, and move calls to their shards' journals."""
        stage.describe(node.identity)
        stage.verify(frozenset(node.sources(self.store.stage)) if node.reads else None)
        units = node.problems.units
        lacking = {shard.name: shard.lacking for shard in stage.shards(units, node.n, size)}
        stage.journals.settle(units, lacking)

    @contextmanager
    def _locked(self, stage: Stage, work: str, prepare: Callable[[], object]) -> Iterator[None]:
        """Lock a stage, exclusively or with the processes that share the run and do the same `work`."""
        if self.shared:
            with self.store.share_stage(stage, work, prepare):
                yield
        else:
            with self.store.lock_stage(stage):
                prepare()
                yield


async def _in_turn(node: StageNode, make: MakePart, extents: Sequence[Extent]) -> None:
    part = part_task(node)
    for extent in extents:
        await part(quote(make), extent)


def in_flight_of(config: object) -> int:
    """How many requests to an engine may be in flight at once."""
    if isinstance(config, ModelConfig):
        return QUEUE_AHEAD * config.placement.max_in_flight * config.placement.data_parallel
    if isinstance(config, ServedModelConfig):
        return config.max_in_flight * len(config.endpoints)
    return DEFAULT_IN_FLIGHT
