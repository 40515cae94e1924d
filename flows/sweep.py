"""The flow `sweep`: a grid of runs, which share every stage that can be shared and every engine while it is loaded."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from prefect import flow

from overthink.flows.evaluate import Evaluation
from overthink.flows.orchestration.artifacts import publish_rows, publish_summary
from overthink.flows.orchestration.sweep_engines import SweepEngines
from overthink.storage.opening import open_store
from overthink.storage.store import Run, Store
from overthink.tasks.engines.engine_config import PolicyConfig, PrmConfig
from overthink.tasks.errors import CellsFailed
from overthink.tasks.plan.method_plan import MethodPlan
from overthink.tasks.plan.run_plan import Plan
from overthink.tasks.plan.sweep_plan import check_runs, label_of, make_sweep_plan
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.recipes.sweep_recipe import SweepRecipe
from overthink.tasks.reporting.sweep_tables import sweep_rows, sweep_sql
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import end_run

logger = logging.getLogger(__name__)


@flow(name="sweep", flow_run_name="sweep {recipe.name}", persist_result=False)
async def sweep(recipe: SweepRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Run a grid, or what is missing of it, into a store; returns the sweep's id.

    A cell, which is a method of a run, that fails does not stop the others. Raises CellsFailed at the end with all that
    did, and before anything starts what `evaluate` raises for what the user can mend.
    """
    plan, opened = make_sweep_plan(recipe, skip_bad_rows), open_store(store)
    unfinished = plan.unfinished(opened)
    check_runs(unfinished)
    opened.write_sweep(plan.listing)
    with ExitStack() as locks:
        for run in unfinished:
            locks.enter_context(opened.lock_run(run.run_id))
        swept = [SweptRun(run, opened) for run in unfinished]
        await Sweeping(opened, swept).run()
    run_ids = plan.listing.run_ids
    await publish_rows(plan.sweep_id, "sweep", sweep_rows(opened, run_ids, recipe.budgets), sweep_sql(run_ids))
    failures = [
        f"{label_of(run.plan)}: {method_id}: {reason}" for run in swept for method_id, reason in run.failures.items()
    ]
    if failures:
        raise CellsFailed(tuple(failures))
    return plan.sweep_id


class SweptRun:
    """One run of the grid under way; `failures` are the reasons by method, `ended` tells that all was tried."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.policy: PolicyConfig = plan.recipe.policy
        self.prm: PrmConfig | None = plan.recipe.prm
        self.failures: dict[str, str] = {}
        self.ended = False
        evaluation = Evaluation(plan, store, RunProgress(None))
        self.begun: Run = evaluation.begin()
        evaluation.write_problems()

    def alive(self, is_search: bool | None = None) -> list[MethodPlan]:
        """The methods that have not failed; all of them, or searches or others alone."""
        return [
            method
            for method in self.plan.methods
            if method.method.method_id not in self.failures and is_search in (None, method.method.is_search)
        ]


class Sweeping:
    """The unfinished runs of a sweep and the engines that they share.

    Runs go on together, ordered by engines: a policy draws all that needs no PRM, then searches with one PRM after the
    other, from the last one back for every second policy, so that from pair to pair only one engine is loaded. A pair
    that had both loaded also ends its runs; what is left needs one PRM after the other, alone.
    """

    def __init__(self, store: Store, runs: Sequence[SweptRun]) -> None:
        self.store = store
        self.runs = runs
        self.engines = SweepEngines()

    async def run(self) -> None:
        """All runs, to their ends."""
        prms = list(dict.fromkeys(run.prm for run in self.runs))
        try:
            for policy in dict.fromkeys(run.policy for run in self.runs):
                await self._sample(policy)
                for prm in prms:
                    await self._search(policy, prm)
                prms.reverse()
            await self.engines.close("policy")
            # Reversed once more, the first PRM is the one that may still be loaded.
            for prm in prms:
                await self._end(run for run in self.runs if run.prm == prm)
        finally:
            await self.engines.close()

    async def _sample(self, policy: PolicyConfig) -> None:
        """Whatever a policy draws without a PRM: once, for the runs with every PRM."""
        sharing: dict[str, list[SweptRun]] = {}
        for run in self.runs:
            if run.policy == policy:
                sharing.setdefault(run.plan.problem_set.name, []).append(run)
        for first, *others in sharing.values():
            with self._shown(first) as evaluation:
                for method in first.alive(is_search=False):
                    with self._cell(method, first, *others):
                        await evaluation.make_rollouts(method)

    async def _search(self, policy: PolicyConfig, prm: PrmConfig | None) -> None:
        runs = [run for run in self.runs if (run.policy, run.prm) == (policy, prm)]
        for run in runs:
            with self._shown(run) as evaluation:
                for method in run.alive(is_search=True):
                    with self._cell(method, run):
                        await evaluation.make_rollouts(method)
        slot = self.engines.prm(prm)
        if slot is None or slot.is_loaded:
            await self._end(runs)

    async def _end(self, runs: Iterator[SweptRun] | list[SweptRun]) -> None:
        """Score, grade and select what the runs have drawn, and write how they ended."""
        for run in runs:
            if run.ended:
                continue
            with self._shown(run) as evaluation:
                for method in run.alive():
                    with self._cell(method, run):
                        await evaluation.score(method)
                        await evaluation.grade(method)
                        await evaluation.select(method)
            run.ended = True
            end_run(self.store, run.begun, "failed" if run.failures else "complete")
            if not run.failures:
                await publish_summary(self.store, run.plan.run_id)

    @contextmanager
    def _shown(self, run: SweptRun) -> Iterator[Evaluation]:
        """A run's evaluation, its stages shown under a heading."""
        screen = terminal.get()
        if screen is not None and screen.is_terminal:
            screen.print(label_of(run.plan), style="bold", highlight=False)
        progress = RunProgress(screen)
        with progress.shown():
            slots = self.engines.policy(run.policy), self.engines.prm(run.prm)
            yield Evaluation(run.plan, self.store, progress, *slots)

    @contextmanager
    def _cell(self, method: MethodPlan, *runs: SweptRun) -> Iterator[None]:
        """A failure inside is the method's in these runs, and nobody else's."""
        try:
            yield
        except Exception as error:
            method_id = method.method.method_id
            logger.exception("%s failed", method_id)
            for run in runs:
                run.failures[method_id] = f"{type(error).__name__}: {error}"
                _tell(f"failed: {label_of(run.plan)}: {method_id}: {error}; going on with the others")


def _tell(line: str) -> None:
    screen = terminal.get()
    if screen is not None:
        screen.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
