"""A stage of a run as a node of its graph: its identity, the stages it reads, and how its parts are made."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar, cast, get_args

import pyarrow as pa

from overthink.storage.keys import labelled_key
from overthink.storage.manifest import Entry, Extent
from overthink.storage.part_tables import calls_table, rows_table
from overthink.storage.stage_kinds import TABLES_OF, Role, StageKind
from overthink.storage.store import StageUse
from overthink.tasks.engines.engine_protocol import CachedPolicy
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import EngineDied
from overthink.tasks.records import Problem
from overthink.tasks.stages.context import EngineContext, OpenStage, ShardContext
from overthink.tasks.stages.driver import Driver
from overthink.tasks.stages.identity import JsonObject, stage_identity
from overthink.tasks.stages.problem_rows import problem_row

Result = TypeVar("Result")


@dataclass(frozen=True)
class Problems:
    """The problems of a run: a named set, and `content`, which determines the stage that holds it."""

    name: str
    all: tuple[Problem, ...]
    content: Sequence[Any]

    @cached_property
    def identity(self) -> JsonObject:
        """The identity that the key is the hash of."""
        return stage_identity(StageKind.PROBLEMS, problem_set=self.name, problems=self.content)

    @cached_property
    def key(self) -> str:
        """The key of the stage that holds the problems."""
        return labelled_key(StageKind.PROBLEMS, self.identity)

    @cached_property
    def by_key(self) -> dict[str, Problem]:
        """The problems by their content address, in the set's order."""
        return {problem.problem_key: problem for problem in self.all}

    @property
    def units(self) -> tuple[str, ...]:
        """The problems' content addresses."""
        return tuple(self.by_key)


class Input(Protocol):
    """A stage that another one reads."""

    @property
    def key(self) -> str:
        """Its key in the store."""

    @property
    def method_id(self) -> str | None:
        """The method that it belongs to."""

    @property
    def n(self) -> int:
        """The number of samples of each problem that are read."""


@dataclass(frozen=True)
class StoredStage:
    """A stored stage of a finished run, as an `Input`; it is only read."""

    key: str
    method_id: str | None
    n: int


@dataclass(frozen=True, eq=False, kw_only=True)
class StageNode(ABC):
    """One stage of a run: `n` samples of each problem, with `shard_size` problems per task, None for all in one."""

    kind: ClassVar[StageKind]
    tables: ClassVar[tuple[str, ...]]

    problems: Problems
    method_id: str | None = None
    n: int = 1
    shard_size: int | None = None

    @property
    @abstractmethod
    def identity(self) -> JsonObject:
        """What the key is the hash of: all that determines the stage's content, and nothing else."""

    @cached_property
    def key(self) -> str:
        """The stage's key in the store."""
        return labelled_key(self.kind, self.identity)

    @property
    def reads(self) -> tuple[tuple[Input, str], ...]:
        """The stages and tables that parts are computed from; a part is made again when one of them was."""
        return ()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """All stages that this one depends on."""
        return (StoredStage(self.problems.key, None, 1), *(read for read, _ in self.reads))

    @property
    def title(self) -> str:
        """The stage's name in the progress display."""
        return " ".join(filter(None, (self.kind, self.method_id)))

    @property
    def samples(self) -> int | None:
        """The number of samples of each problem for the run's manifest; None where it holds something else."""
        return self.n

    @property
    def use(self) -> StageUse:
        """The stage's record in the run's manifest, without its GPUs."""
        inputs = tuple(dict.fromkeys(each.key for each in self.inputs))
        return StageUse(self.kind, self.key, self.method_id, self.samples, inputs=inputs)

    def sources(self, stage_of: OpenStage, units: Sequence[str] | None = None) -> tuple[str, ...]:
        """The sha256 of the files that the parts, or those of some problems, are computed from."""
        return tuple(digest for read, table in self.reads for digest in stage_of(read.key).digests(table, units))

    def write(self, context: ShardContext, extent: Extent, tables: Mapping[str, pa.Table]) -> Entry:
        """Write a part. Raises StorageError."""
        assert set(self.tables) <= set(tables) <= TABLES_OF[self.kind], f"a {self.kind} stage holds no {sorted(tables)}"
        return context.stage.write_part(extent, tables, self.sources(context.stage_of, extent.units))


@dataclass(frozen=True, eq=False, kw_only=True)
class PlainNode(StageNode):
    """A stage that needs no engine; an `instant` one takes no time and shows no progress."""

    instant: ClassVar[bool] = False

    @abstractmethod
    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:
        """The tables of one part. Raises StorageError where its inputs cannot be read."""

    def make_now(self, context: ShardContext, extent: Extent) -> Entry:
        """Compute and write one part. Raises StorageError."""
        return self.write(context, extent, self.part(context, extent))

    async def make(self, context: ShardContext, extent: Extent) -> Entry:
        """`make_now` in a thread, beside other work."""
        return await asyncio.to_thread(self.make_now, context, extent)


@dataclass(frozen=True, eq=False, kw_only=True)
class ProblemsNode(PlainNode):
    """The problems themselves."""

    kind: ClassVar[StageKind] = StageKind.PROBLEMS
    tables: ClassVar[tuple[str, ...]] = ("problems",)
    instant: ClassVar[bool] = True

    @property
    def identity(self) -> JsonObject:
        """See `Problems`."""
        return self.problems.identity

    @property
    def inputs(self) -> tuple[Input, ...]:
        """No stages: this one is the root of the graph."""
        return ()

    @property
    def samples(self) -> None:
        """None: it holds problems, not samples of them."""

    def part(self, context: ShardContext, extent: Extent) -> dict[str, pa.Table]:  # noqa: ARG002
        """The rows of the problems that the stage lacks."""
        name, by_key = self.problems.name, self.problems.by_key
        rows = [{"problem_set": name, **problem_row(by_key[unit])} for unit in extent.units]
        return {"problems": rows_table("problems", rows)}


@dataclass(frozen=True, eq=False, kw_only=True)
class EngineNode(StageNode):
    """A stage that uses engines. Each answered call is journaled before anything acts on it."""

    policy: EngineIdentity | None
    prm: EngineIdentity | None
    sandbox: Mapping[str, str] | None = None
    seed: int

    @property
    def calls(self) -> tuple[int, int] | None:
        """The range of samples that calls are made for, first and one past the last; None: that of the part."""
        return None

    @abstractmethod
    async def part(self, context: EngineContext, extent: Extent) -> dict[str, pa.Table]:
        """The tables of one part, without `calls`. Raises EngineDied (a retry may help), BadReply or StorageError."""

    async def make(self, context: EngineContext, extent: Extent) -> Entry:
        """Compute and write one part with its calls, then drop them from the journal.

        Raises EngineDied (a retry may help), BadReply or StorageError; journaled calls are safe in every case.
        """
        tables = await self.part(context, extent)
        recorder = context.access.recorder
        calls = await recorder.take(extent.units, *(self.calls or (extent.first, extent.last)))
        tables |= {"calls": calls_table(calls)}
        entry = await asyncio.to_thread(self.write, context, extent, tables)
        await recorder.forget([call.call_key for call in calls])
        return entry

    async def for_each(
        self, context: EngineContext, units: Sequence[str], work: Callable[[Driver, str], Awaitable[Result]]
    ) -> list[Result]:
        """Apply `work` to each problem as there is room, with the stage's engines; results in the order of `units`.

        An engine that died is discarded, and loaded again on its next use. Where the stage uses both, it discards both
        (an error does not say which of them died).
        """
        policy = await context.policy.get() if asks(self, "policy") else None
        prm = await context.prm.get() if asks(self, "prm") else None
        sandbox = await context.engines.sandbox.get() if asks(self, "sandbox") else None
        if isinstance(policy, CachedPolicy):
            context.access.admission.cache_tokens = policy.cache_tokens
        driver = Driver(
            stage_key=self.key,
            seed=self.seed,
            model=None if self.policy is None else self.policy.name,
            prm_id=None if self.prm is None else self.prm.address,
            policy=policy,
            prm=prm,
            access=context.access,
            sandbox=sandbox,
        )

        async def solve(unit: str) -> Result:
            async with context.access.admission.problem(context.access.order) as ticket:
                result = await work(replace(driver, ticket=ticket), unit)
            context.on_problem(unit)
            return result

        results = await asyncio.gather(*map(solve, units), return_exceptions=True)
        for result in results:
            if isinstance(result, EngineDied):
                if policy is not None:
                    await context.policy.discard(policy)
                if prm is not None:
                    await context.prm.discard(prm)
                if sandbox is not None:
                    await context.engines.sandbox.discard(sandbox)
            if isinstance(result, BaseException):
                raise result
        return cast(list[Result], results)


def asks(node: StageNode, role: Role) -> bool:
    """Whether a stage needs the engine of a role."""
    return isinstance(node, EngineNode) and getattr(node, role) is not None


def roles_of(node: StageNode) -> tuple[Role, ...]:
    """The roles of the engines that a stage needs."""
    return tuple(role for role in get_args(Role) if asks(node, role))
