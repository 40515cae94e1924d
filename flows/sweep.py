"""The flow `sweep`: a grid of runs, which share every stage that can be shared and every engine while it is loaded."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_rows, publish_summary
from overthink.flows.orchestration.sweep_engines import SweepEngines
from overthink.storage.opening import open_store
from overthink.storage.store import Store
from overthink.tasks.errors import CellsFailed
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.plan.sweep_plan import check_runs, label_of, plan_sweep
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.recipes.sweep_recipe import SweepRecipe
from overthink.tasks.reporting.sweep_tables import sweep_rows, sweep_sql
from overthink.tasks.stages.context import Engines
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.run_manifest import end_run
from overthink.tasks.stages.runner import StageRunner
from overthink.tasks.stages.schedule import Address, Job, Schedule, address
from overthink.tasks.stages.stages_ahead import stages_ahead

logger = logging.getLogger(__name__)


@flow(name="sweep", flow_run_name="sweep {recipe.name}", persist_result=False)
async def sweep(recipe: SweepRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Run a grid, or resume it, into a store; returns the sweep's id.

    A failed cell (a method of a run) does not stop the others. Raises CellsFailed with all failures at the end, and,
    before anything starts, what `evaluate` raises for what the user can fix.
    """
    plan, opened = plan_sweep(recipe, skip_bad_rows), open_store(store)
    unfinished = plan.unfinished(opened)
    check_runs(unfinished)
    opened.write_sweep(plan.listing)
    with ExitStack() as locks:
        for run in unfinished:
            locks.enter_context(opened.lock_run(run.run_id))
        progress = RunProgress(terminal.get(), opened.reports(plan.sweep_id))
        progress.begin()
        sweeping = Sweeping(opened, unfinished, progress)
        with progress.shown():
            await sweeping.run()
    run_ids = plan.listing.run_ids
    await publish_rows(plan.sweep_id, "sweep", sweep_rows(opened, run_ids, recipe.budgets), sweep_sql(run_ids))
    failures = [
        f"{label_of(run.plan)}: {method_id}: {reason}"
        for run in sweeping.runs
        for method_id, reason in run.failures.items()
    ]
    if failures:
        raise CellsFailed(tuple(failures))
    return plan.sweep_id


class SweptRun:
    """One run of the grid in progress; `failures` are the reasons by method, `has_ended` is set when all was tried."""

    def __init__(self, plan: Plan, store: Store, engines: SweepEngines, progress: RunProgress) -> None:
        slots = Engines(engines.policy(plan.policy_config), engines.prm(plan.prm_config))
        self.plan = plan
        self.runner = StageRunner(store, progress, plan.run_id, slots, plan.grader)
        self.begun = plan.begin(store)
        self.failures: dict[str, str] = {}
        self.has_ended = False


class Cell(NamedTuple):
    """One method of one run; None for stages that belong to no method."""

    run: SweptRun
    method_id: str | None

    @property
    def has_failed(self) -> bool:
        """Whether a stage of it failed, so that those after it are not tried."""
        return self.method_id in self.run.failures


class Sweeping:
    """Makes the graphs of all runs as one: a stage that several share is made once, for the first of them."""

    def __init__(self, store: Store, plans: Sequence[Plan], progress: RunProgress) -> None:
        engines = SweepEngines()
        self.store, self.progress = store, progress
        self.runs = [SweptRun(plan, store, engines, progress) for plan in plans]
        self.cells: dict[Job, list[Cell]] = {}
        jobs: dict[tuple[Address, str], Job] = {}
        for run in self.runs:
            for node in run.plan.nodes:
                job = jobs.setdefault((address(node), node.problems.key), Job(node, run.runner))
                self.cells.setdefault(job, []).append(Cell(run, node.method_id))
        self.schedule = Schedule(jobs.values())
        self._heading = ""

    async def run(self) -> None:
        """Make all runs."""
        gpus = {key: count for run in self.runs for key, count in run.plan.gpus().items()}
        self.progress.plan(stages_ahead(self.store, self.schedule.nodes, gpus))
        async with self.schedule.engines():
            while (job := self.schedule.next()) is not None:
                await self._make(job)
                await self.schedule.done(job)
                await self.schedule.drop(self._is_hopeless)
                self.progress.keep(self.schedule.nodes)
                await self._end_runs()

    async def _make(self, job: Job) -> None:
        """Make a job's stage; a failure counts only for the methods that need the stage."""
        cells = [cell for cell in self.cells[job] if not cell.has_failed]
        self._head(label_of(cells[0].run.plan))
        try:
            await job.make()
        except Exception as error:
            if job.node.method_id is None:
                raise
            logger.exception("%s failed", job.node.title)
            for run, method_id in cells:
                run.failures[str(method_id)] = f"{type(error).__name__}: {error}"
                _tell(f"failed: {label_of(run.plan)}: {method_id}: {error}; going on with the others")

    def _is_hopeless(self, job: Job) -> bool:
        return all(cell.has_failed for cell in self.cells[job])

    async def _end_runs(self) -> None:
        """Write the final status of the runs that have no stages left."""
        going_on = {id(cell.run) for job in self.schedule.remaining for cell in self.cells[job]}
        for run in self.runs:
            if id(run) not in going_on and not run.has_ended:
                run.has_ended = True
                end_run(self.store, run.begun, "failed" if run.failures else "complete")
                if not run.failures:
                    await publish_summary(self.store, run.plan.run_id)

    def _head(self, label: str) -> None:
        """Show a run's stages under its name."""
        screen = terminal.get()
        if screen is not None and screen.is_terminal and label != self._heading:
            self._heading = label
            screen.print(label, style="bold", highlight=False)


def _tell(line: str) -> None:
    screen = terminal.get()
    if screen is not None:
        screen.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
