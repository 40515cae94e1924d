"""`overthink run`: from problems to graded selections, here or on workers."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overthink.flows.commands.compare import print_verdict
from overthink.flows.commands.options import DEFAULT_STORE, RecipeArgument, StoreOption
from overthink.flows.commands.report import print_report
from overthink.flows.commands.terminal import carry_out, console, plain_errors, print_complete, print_note, quiet
from overthink.tasks.counted import counted
from overthink.tasks.errors import Regression, UserError

if TYPE_CHECKING:
    from overthink.storage.store import Store
    from overthink.tasks.engines.engine_config import PolicyConfig
    from overthink.tasks.plan.run_plan import Plan
    from overthink.tasks.recipes.recipe import Recipe
    from overthink.tasks.recipes.sampling_config import SamplingConfig

StoreFlow = Callable[["Recipe", str, bool], Coroutine[Any, Any, str]]


def run(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Share the run with all other processes started with --shared.")
    ] = False,
    deployment: Annotated[
        str | None,
        typer.Option(help="Hand the run to a worker by this deployment, into its store unless one is named."),
    ] = None,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Run it on the Ray cluster at RAY_ADDRESS, or on one started here.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="How many workers of a deployment or a cluster share it.")] = 1,
    wait: Annotated[bool, typer.Option(help="Wait for the end of a run that was handed over.")] = False,
    is_dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Only check it all and say what the run would do; loads and writes nothing."),
    ] = False,
) -> None:
    """Run a recipe, or resume it; a finished one is only reported."""
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_recipe

    with plain_errors():
        quiet()
        wanted = read_recipe(find_recipe(recipe), changes or [])
        if wait and deployment is None:
            raise UserError("--wait is for a run that is handed over: name a --deployment")
        if workers > 1 and deployment is None and not on_ray:
            raise UserError(
                "--workers are those of a --deployment or of a cluster (--ray): name one, or start the same command "
                "with --shared once for each worker"
            )
        if is_dry and (shared or on_ray or deployment is not None):
            raise UserError("--dry-run checks this machine alone: leave out --shared, --deployment and --ray")
        with naming(recipe, changes or []):
            if is_dry:
                _print_dry_run(wanted, store, skip_bad_rows)
            elif deployment is None:
                _run(wanted, store, skip_bad_rows, _flow_on_ray(workers) if on_ray else _flow_here(shared))
            else:
                _hand_over(wanted, deployment, None if store == DEFAULT_STORE else store, skip_bad_rows, workers, wait)


def _print_dry_run(recipe: "Recipe", place: str, skip_bad_rows: bool) -> None:
    from overthink.storage.opening import open_store
    from overthink.tasks.plan.dry_run import dry_run

    plan = _planned(recipe, skip_bad_rows)
    for line in asyncio.run(dry_run(plan, recipe, open_store(place))):
        console().print(line, soft_wrap=True, highlight=False)


def _planned(recipe: "Recipe", skip_bad_rows: bool) -> "Plan":
    # Prefect and the engines' packages take seconds to import; report mistakes in the recipe before that.
    from overthink.tasks.datasets.problem_loading import load_problems
    from overthink.tasks.plan.evaluation_plan import plan_evaluation
    from overthink.tasks.plan.lacking_suites import lacking_suites

    problem_set = load_problems(recipe.problems, skip_bad_rows, recipe.asking)
    plan = plan_evaluation(recipe, problem_set)
    print_dropped(problem_set.dropped)
    print_taken(recipe.sampling, recipe.policy)
    for line in lacking_suites(recipe, problem_set.problems):
        print_note(line)
    return plan


def _run(recipe: "Recipe", place: str, skip_bad_rows: bool, flow: StoreFlow) -> None:
    opened, run_id = run_to_end(recipe, place, skip_bad_rows, flow)
    stored = opened.find_run(run_id)
    print_report(console(), opened, stored)
    if recipe.gate is not None:
        from overthink.tasks.reporting.gate import judge

        print_verdict(judge(opened, stored, recipe.gate))


def run_to_end(recipe: "Recipe", place: str, skip_bad_rows: bool, flow: StoreFlow | None = None) -> "tuple[Store, str]":
    """Run what a recipe lacks, nothing if it is finished; returns the store and the run's id."""
    from overthink.flows.orchestration.untold import notes
    from overthink.storage.opening import open_store
    from overthink.tasks.plan.run_plan import is_finished

    plan, opened = _planned(recipe, skip_bad_rows), open_store(place)
    if not is_finished(plan, opened):
        what = counted(len(plan.problems.units), "problem")
        with suppress(Regression):  # `run` reports it below the results
            carry_out(opened, plan.run_id, what, lambda: (flow or _flow_here())(recipe, place, skip_bad_rows))
    else:
        print_complete(opened, plan.run_id)
        if notes(opened):
            from overthink.flows.orchestration.run_flow import send_kept_reports

            asyncio.run(send_kept_reports(opened, partial(console().print, markup=False, soft_wrap=True)))
    return opened, plan.run_id


def _flow_here(shared: bool = False) -> StoreFlow:
    async def flow(recipe: "Recipe", place: str, skip_bad_rows: bool) -> str:
        from overthink.flows.evaluate import evaluate  # with Prefect, which takes a second

        return await evaluate(recipe, place, skip_bad_rows, shared)

    return flow


def _flow_on_ray(workers: int) -> StoreFlow:
    try:
        from overthink.flows.on_ray import evaluate_on_ray
    except ImportError as error:
        raise UserError(f"--ray needs the packages of the extra `ray` ({error}): pip install '.[ray]'") from error

    return lambda recipe, place, skip_bad_rows: evaluate_on_ray(recipe, place, workers, skip_bad_rows)


def _hand_over(
    recipe: "Recipe", deployment: str, store: str | None, skip_bad_rows: bool, workers: int, wait: bool
) -> None:
    from prefect.utilities.urls import url_for

    from overthink.flows.orchestration.deployments import ask_for_runs, finished, flow_parameters

    parameters = flow_parameters(recipe, store, skip_bad_rows, workers)
    flow_runs = asyncio.run(ask_for_runs(deployment, parameters, workers))
    say = console().print
    for flow_run in flow_runs:
        say(f"run {flow_run.name} handed to {deployment}: {url_for(flow_run)}", markup=False, soft_wrap=True)
    if wait:
        states = [asyncio.run(finished(flow_run)) for flow_run in flow_runs]
        for state in states:
            say(f"{state.name}: {state.message}" if state.message else state.name, markup=False, soft_wrap=True)
        if not all(state.is_completed() for state in states):
            raise typer.Exit(1)


def print_taken(sampling: "SamplingConfig", policy: "PolicyConfig") -> None:
    """Print which numbers came out of the model's own files."""
    from overthink.tasks.plan.model_generation import taken

    told = taken(sampling, policy)
    if told is not None:
        console().print(told, markup=False, soft_wrap=True)


def print_dropped(complaints: Sequence[str]) -> None:
    """Print which rows were left out, and why."""
    for complaint in complaints:
        console().print(f"dropped: {complaint}", markup=False)
