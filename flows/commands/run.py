"""`overthink run`: from problems to graded choices, here or by a worker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from flows.commands.compare import print_verdict
from flows.commands.options import DEFAULT_STORE, RecipeArgument, StoreOption
from flows.commands.report import print_report
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, read_recipe
from flows.terminal import carry_out, console, quiet, told_plainly
from storage.opening import open_store
from storage.store import Store
from tasks.errors import Regression, UserError


def run(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
    deployment: Annotated[
        str | None,
        typer.Option(help="Hand the run to a worker by this deployment, into its store unless one is named."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end of a run that was handed over.")] = False,
) -> None:
    """Run a recipe, or go on with it; a finished one is only reported."""
    with told_plainly():
        quiet()
        wanted = read_recipe(find_recipe(recipe), changes or [])
        if wait and deployment is None:
            raise UserError("--wait is for a run that is handed over: name a --deployment")
        if deployment is None:
            _run(wanted, store, skip_bad_rows)
        else:
            _hand_over(wanted, deployment, None if store == DEFAULT_STORE else store, skip_bad_rows, wait)


def _run(recipe: Recipe, place: str, skip_bad_rows: bool) -> None:
    opened, run_id = run_to_end(recipe, place, skip_bad_rows)
    stored = opened.find_run(run_id)
    print_report(console(), opened, stored)
    if recipe.gate is not None:
        from flows.gate import judge

        print_verdict(judge(opened, stored, recipe.gate))


def run_to_end(recipe: Recipe, place: str, skip_bad_rows: bool) -> tuple[Store, str]:
    """Run what is missing of a recipe, nothing if it is finished; returns the store and the run's id."""
    # Prefect and the engines' packages take seconds to import; a mistake in the recipe is told before.
    from flows.evaluate import evaluate, is_finished
    from flows.plan import make_plan
    from tasks.problems.sources import load_problems

    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    opened = open_store(place)
    print_dropped(problem_set.dropped)
    if not is_finished(plan, opened):
        what = "1 problem" if len(plan.units) == 1 else f"{len(plan.units)} problems"
        with suppress(Regression):  # `run` tells it under the report
            carry_out(opened, plan.run_id, what, lambda: evaluate(recipe, place, skip_bad_rows))
    return opened, plan.run_id


def _hand_over(recipe: Recipe, deployment: str, store: str | None, skip_bad_rows: bool, wait: bool) -> None:
    from prefect.utilities.urls import url_for

    from flows.deploying import ask_for_run, finished, flow_parameters

    flow_run = asyncio.run(ask_for_run(deployment, flow_parameters(recipe, store, skip_bad_rows)))
    say = console().print
    say(f"run {flow_run.name} handed to {deployment}: {url_for(flow_run)}", markup=False, soft_wrap=True)
    if wait:
        state = asyncio.run(finished(flow_run))
        say(f"{state.name}: {state.message}" if state.message else state.name, markup=False, soft_wrap=True)
        if not state.is_completed():
            raise typer.Exit(1)


def print_dropped(complaints: Sequence[str]) -> None:
    """Say which rows were left out, and why."""
    for complaint in complaints:
        console().print(f"dropped: {complaint}", markup=False)
