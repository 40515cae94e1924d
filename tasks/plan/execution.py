"""Executes a plan: makes the stages of its graph as a schedule orders them, and keeps the run's manifest up to date."""

from contextlib import AbstractContextManager

from overthink.storage.store import Run, Store
from overthink.tasks.plan.checks import check
from overthink.tasks.plan.run_plan import Plan, is_finished
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.node import StageNode
from overthink.tasks.stages.progress import RunProgress
from overthink.tasks.stages.run_manifest import recorded_end
from overthink.tasks.stages.runner import StageRunner
from overthink.tasks.stages.schedule import Address, Job, Schedule, address
from overthink.tasks.stages.sharing import with_others
from overthink.tasks.stages.stages_ahead import stages_ahead


class Execution:
    """A running run; other runs may use the same engines."""

    def __init__(self, plan: Plan, store: Store, progress: RunProgress, engines: Engines, shared: bool = False) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress
        self.runner = StageRunner(store, progress, plan.run_id, engines, plan.grader, shared)

    async def run(self) -> None:
        """Execute the whole run and keep its manifest up to date."""
        with self.under_way():
            await self.make()

    def under_way(self) -> AbstractContextManager[None]:
        """Write the run's manifest at the start, and its final status at the end."""
        return recorded_end(self.store, self._begin())

    async def run_with_others(self) -> bool:
        """Execute the run with the other processes that share it; returns whether this process ended it."""
        plan, store = self.plan, self.store
        if is_finished(plan, store):
            return False
        return await with_others(store, plan.run_id, self._begin, self.make)

    def _begin(self) -> Run:
        """Write the run's manifest; the caller alone writes the run."""
        self.progress.begin()
        return self.plan.begin(self.store)

    async def make(self) -> None:
        """Make what the stages lack. Raises what `check` and the stages raise."""
        await check(self.plan)
        schedule = Schedule(self.jobs())
        self.progress.plan(stages_ahead(self.store, schedule.nodes, self.plan.gpus()))
        async with schedule.engines():
            while (job := schedule.next()) is not None:
                await job.make()
                await schedule.done(job)
                self.progress.keep(schedule.nodes)

    def jobs(self) -> list[Job]:
        """One job per stage; a stage that two methods share with the same number of samples has one job."""
        unique: dict[Address, StageNode] = {}
        for node in self.plan.nodes:
            unique.setdefault(address(node), node)
        return [Job(node, self.runner) for node in unique.values()]
