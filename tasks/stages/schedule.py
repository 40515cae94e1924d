"""The order in which the stages of one or many runs are made: inputs first, with as few engine loads as possible."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from overthink.storage.stage_kinds import Role, StageKind
from overthink.tasks.engines.engine_slot import EngineSlot
from overthink.tasks.stages.node import Input, StageNode, asks
from overthink.tasks.stages.runner import StageRunner

Address = tuple[str, int]
ROLES: tuple[Role, Role] = ("policy", "prm")


@dataclass(frozen=True, eq=False)
class Job:
    """A stage to be made, and the runner that makes it."""

    node: StageNode
    runner: StageRunner

    @cached_property
    def address(self) -> Address:
        """What the job makes."""
        return address(self.node)

    @cached_property
    def inputs(self) -> frozenset[Address]:
        """What must be made before."""
        return frozenset(map(address, self.node.inputs))

    def slot(self, role: Role) -> EngineSlot[Any] | None:
        """The engine slot of a role; None where the stage does not use it."""
        return getattr(self.runner.engines, role) if asks(self.node, role) else None

    @cached_property
    def slots(self) -> tuple[EngineSlot[Any], ...]:
        """The slots of all engines that the stage uses."""
        return tuple(slot for slot in map(self.slot, ROLES) if slot is not None)

    async def make(self) -> None:
        """Make what the stage lacks. Raises EngineDied, BadReply or StorageError."""
        await self.runner.make(self.node)


class Schedule:
    """The remaining jobs; the caller reports each as done, or drops it with others."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.remaining = list(jobs)
        self._slots = {slot for job in self.remaining for slot in job.slots}

    @property
    def nodes(self) -> list[StageNode]:
        """The stages of the remaining jobs."""
        return [job.node for job in self.remaining]

    def next(self) -> Job | None:
        """The job to make now; None where none is left.

        Problems come first. Then jobs that replace no engine that other jobs still need; jobs of the policy alone
        before jobs of both engines, so that it has the whole device as long as possible; then jobs that a policy job
        waits for, jobs of the PRM alone, and last jobs without engines.
        """
        awaited = _awaited(self.remaining)
        busy = {role: {job.slot(role) for job in self.remaining if _is_loaded(job.slot(role))} for role in ROLES}

        def rank(job: Job) -> tuple[bool, ...]:
            policy, prm = job.slot("policy"), job.slot("prm")
            return (
                job.node.kind != StageKind.PROBLEMS,
                policy is not None and bool(busy["policy"] - {policy}),
                prm is not None and bool(busy["prm"] - {prm}),
                policy is None,
                policy is not None and prm is not None,
                job.address not in awaited,
                prm is None,
            )

        found = min(ready(self.remaining), key=rank, default=None)
        assert found is not None or not self.remaining, "a graph of stages has no circle"
        return found

    async def done(self, job: Job) -> None:
        """Remove a job, and close the engines that no other job needs."""
        await self.drop(lambda other: other is job)

    async def drop(self, is_dropped: Callable[[Job], bool]) -> None:
        """Remove jobs, and close the engines that no other job needs."""
        self.remaining = [job for job in self.remaining if not is_dropped(job)]
        asked = {slot for job in self.remaining for slot in job.slots}
        await _close_all(slot for slot in self._slots - asked if slot.is_loaded)

    @asynccontextmanager
    async def engines(self) -> AsyncIterator[None]:
        """Close all engines at the end, also after an error."""
        try:
            yield
        finally:
            await _close_all(self._slots)


async def _close_all(slots: Iterable[EngineSlot[Any]]) -> None:
    """Close engines, each even where another one cannot be closed; its error is raised after the last."""
    async with AsyncExitStack() as closing:
        for slot in slots:
            closing.push_async_callback(slot.close)


def address(stage: Input) -> Address:
    """A stage's key and the number of samples wanted: the same stage may be wanted in two sizes."""
    return stage.key, stage.n


def ready(jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose inputs are all made."""
    unmade = {job.address for job in jobs}
    return [job for job in jobs if unmade.isdisjoint(job.inputs)]


def _is_loaded(slot: EngineSlot[Any] | None) -> bool:
    return slot is not None and slot.is_loaded


def _awaited(jobs: Sequence[Job]) -> set[Address]:
    """The addresses of all direct and indirect inputs of stages that use the policy."""
    inputs = {job.address: job.inputs for job in jobs}
    found: set[Address] = set()
    waiting = [each for job in jobs if asks(job.node, "policy") for each in job.inputs]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += inputs.get(each, ())
    return found
