"""Makes the stages of a run: only what is missing, each under its lock and verified first."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial

from prefect.utilities.annotations import quote

from overthink.storage.manifest import Entry, Extent
from overthink.storage.stage_kinds import Role
from overthink.storage.stages import Shard, Stage
from overthink.storage.store import Store
from overthink.tasks.engines.engine_config import ModelConfig, ServedModelConfig
from overthink.tasks.engines.prm_config import loaded_config
from overthink.tasks.recipes.grading import Grader
from overthink.tasks.stages.admission import Admission
from overthink.tasks.stages.context import EngineContext, Engines, ShardContext
from overthink.tasks.stages.driver import EngineAccess
from overthink.tasks.stages.node import EngineNode, PlainNode, StageNode, roles_of
from overthink.tasks.stages.progress import RunProgress
from overthink.tasks.stages.progress_artifact import publish_progress
from overthink.tasks.stages.recorder import Recorder
from overthink.tasks.stages.shard_counts import ShardCounts
from overthink.tasks.stages.shards import MakePart, Room, part_task, run_shards
from overthink.tasks.stages.stage_progress import StagePlace, Watch

DEFAULT_IN_FLIGHT = 256
QUEUE_AHEAD = 1.25  # of what an engine takes at once: so the next request is there when one ends
PLAIN_SHARDS_AT_ONCE = 2  # one is read and written while another computes
SHARED_SHARDS_AT_ONCE = 2  # the others are left to the processes that share the run


@dataclass(frozen=True)
class Way:
    """How a stage's shards are made: when there is room for one, what makes it, given its place, what is watched."""

    room: Room
    carry_out: Callable[[ShardCounts, Shard, int, Sequence[Extent]], Awaitable[None]]
    watch: Watch = field(default_factory=Watch)


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
            context = ShardContext(stage, cache(self._finished), judge, lambda _: None)
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

    def _plain(self, node: PlainNode, context: ShardContext) -> Way:
        turn = asyncio.Semaphore(PLAIN_SHARDS_AT_ONCE)

        async def carry_out(counts: ShardCounts, _: Shard, order: int, extents: Sequence[Extent]) -> None:
            counted = replace(context, on_problem=counts.problem)
            await _in_turn(node, order, partial(node.make, counted), extents)

        return Way(lambda _: turn, carry_out)

    def _journaled(self, node: EngineNode, shared: ShardContext) -> Way:
        """Make each shard with a journal of its calls, which is deleted when the shard is done."""
        admission = Admission(**{role: self._in_flight(role) for role in roles_of(node)})

        async def carry_out(counts: ShardCounts, shard: Shard, order: int, extents: Sequence[Extent]) -> None:
            recorder = Recorder(await asyncio.to_thread(shared.stage.journals.open, shard.name))
            access = EngineAccess(recorder, admission, counts, order)
            counted = replace(shared, on_problem=counts.problem)
            context = EngineContext(**vars(counted), engines=self.engines, access=access)

            async def make(extent: Extent) -> Entry:
                counts.again()
                return await node.make(context, extent)

            try:
                await _in_turn(node, order, make, extents)
            finally:
                await recorder.close()

        turn = asyncio.Semaphore(SHARED_SHARDS_AT_ONCE)

        @asynccontextmanager
        async def shared_room(order: int) -> AsyncIterator[None]:
            async with turn, admission.shard(order):
                yield

        watch = Watch(admission.in_flight, partial(self._loading, node))
        return Way(shared_room if self.shared else admission.shard, carry_out, watch)

    def _loading(self, node: EngineNode) -> str | None:
        """The name of the engine that a stage waits for; None where it waits for none."""
        for role in roles_of(node):
            slot = getattr(self.engines, role)
            if slot is not None and slot.is_loading:
                return getattr(getattr(node, role), "name", role)
        return None

    def _in_flight(self, role: Role) -> int:
        """How many requests an engine is given at once."""
        if role == "sandbox":
            return math.ceil(QUEUE_AHEAD * len(os.sched_getaffinity(0)))
        slot = self.engines.policy if role == "policy" else self.engines.prm
        return in_flight_of(None if slot is None else slot.config)

    async def _make_shards(self, node: StageNode, stage: Stage, way: Way) -> None:
        units, size = node.problems.units, node.shard_size or len(node.problems.units)
        with self._locked(stage, f"{self.run_id}, {size} problems a shard", partial(self._prepare, node, stage, size)):
            shards = stage.shards(units, node.n, size)
            if not shards:
                return
            artifact = await publish_progress(self.run_id, node.title, len(shards))
            place = StagePlace(node.title, len(units), len(units) - sum(len(shard.lacking) for shard in shards))
            with self.progress.stage(place, node, way.watch) as progress:

                async def finish(shard: Shard, order: int) -> None:
                    with stage.lease(shard):
                        extents = [extent for extent in shard.extents if not stage.holds(extent)]
                        if extents:
                            counts = progress.shard()
                            await way.carry_out(counts, shard, order, extents)
                            progress.stored(counts, order)
                        else:  # another process made it, and may have died before it deleted the journal
                            stage.journals.drop(shard.name)
                            progress.done_elsewhere(len(shard.lacking))
                    await artifact.advance()

                await run_shards(shards, finish, way.room)

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


async def _in_turn(node: StageNode, order: int, make: MakePart, extents: Sequence[Extent]) -> None:
    part = part_task(node, order)
    for extent in extents:
        await part(quote(make), extent)


def in_flight_of(config: object) -> int:
    """How many requests to an engine may be in flight at once."""
    config = loaded_config(config)
    if isinstance(config, ModelConfig):
        return math.ceil(QUEUE_AHEAD * config.placement.max_in_flight * config.placement.data_parallel)
    if isinstance(config, ServedModelConfig):
        return config.max_in_flight * len(config.endpoints)
    return DEFAULT_IN_FLIGHT
