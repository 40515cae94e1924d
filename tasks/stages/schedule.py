"""In which order the stages of one or many runs are made: inputs first, and each engine loaded as seldom as can be."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from overthink.storage.stage_kinds import Role, StageKind
from overthink.tasks.engines.registry import EngineSlot
from overthink.tasks.stages.node import Input, StageNode, asks
from overthink.tasks.stages.runner import StageRunner

Address = tuple[str, int]
ROLES: tuple[Role, Role] = ("policy", "prm")


@dataclass(frozen=True, eq=False)
class Job:
    """A stage to be made, and who makes it for the runs that stand on it."""

    node: StageNode
    runner: StageRunner

    def slot(self, role: Role) -> EngineSlot[Any] | None:
        """The place of the engine of a role, where the stage asks it."""
        return getattr(self.runner.engines, role) if asks(self.node, role) else None

    @property
    def slots(self) -> tuple[EngineSlot[Any], ...]:
        """The places of all engines that the stage asks."""
        return tuple(slot for slot in map(self.slot, ROLES) if slot is not None)

    async def make(self) -> None:
        """Make what the stage lacks. Raises EngineDied, BadReply or StorageError."""
        await self.runner.make(self.node)


class Schedule:
    """The jobs that are left; whoever makes one says whether it is done, or dropped with others."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.remaining = list(jobs)
        self._slots = {slot for job in self.remaining for slot in job.slots}

    def next(self) -> Job | None:
        """The job to make now; None where none is left.

        Problems come before all else. Then whatever loads no engine in place of one that is still asked for; the policy
        alone before both engines, so that it has the whole device for as long as can be; then what a job of the policy
        waits for, the PRM alone, and last what needs no engine.
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
                address(job.node) not in awaited,
                prm is None,
            )

        return min(ready(self.remaining), key=rank, default=None)

    async def done(self, job: Job) -> None:
        """Take a job off, and free the engines that none of the others asks."""
        await self.drop(lambda other: other is job)

    async def drop(self, is_dropped: Callable[[Job], bool]) -> None:
        """Take jobs off, and free the engines that none of the others asks."""
        self.remaining = [job for job in self.remaining if not is_dropped(job)]
        asked = {slot for job in self.remaining for slot in job.slots}
        for slot in self._slots - asked:
            await slot.close()

    @asynccontextmanager
    async def engines(self) -> AsyncIterator[None]:
        """Free all engines at the end, whatever happens."""
        try:
            yield
        finally:
            for slot in self._slots:
                await slot.close()


def address(stage: Input) -> Address:
    """A stage's key and how many samples are wanted of it: the same stage may be asked for in two sizes."""
    return stage.key, stage.n


def ready(jobs: Sequence[Job]) -> list[Job]:
    """The jobs of which no input is still to be made."""
    unmade = {address(job.node) for job in jobs}
    return [job for job in jobs if unmade.isdisjoint(map(address, job.node.inputs))]


def _is_loaded(slot: EngineSlot[Any] | None) -> bool:
    return slot is not None and slot.is_loaded


def _awaited(jobs: Sequence[Job]) -> set[Address]:
    """The addresses of the stages that some stage which asks the policy stands on, at whatever distance."""
    inputs = {address(job.node): tuple(map(address, job.node.inputs)) for job in jobs}
    found: set[Address] = set()
    waiting = [each for job in jobs if job.slot("policy") is not None for each in inputs[address(job.node)]]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += inputs.get(each, ())
    return found
