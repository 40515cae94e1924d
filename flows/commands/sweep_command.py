"""`overthink sweep`: a grid of policies, PRMs, problem sets, methods and budgets."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, RecipeArgument, StoreOption
from overthink.flows.commands.run import print_dropped, print_taken
from overthink.flows.commands.terminal import carry_out, console, plain_errors, print_whole, quiet
from overthink.tasks.counted import counted
from overthink.tasks.errors import CellsFailed

if TYPE_CHECKING:
    from overthink.tasks.recipes.sweep_recipe import SweepRecipe


def sweep(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.0.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Run a grid of policies, PRMs and problem sets, or resume it; a finished one is only reported."""
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
    from overthink.tasks.recipes.sweep_recipe import SweepRecipe

    with plain_errors():
        quiet()
        wanted = read_recipe_of(SweepRecipe, find_recipe(recipe), changes or [])
        with naming(recipe, changes or []):
            failures = _sweep(wanted, store, skip_bad_rows)
    if failures:
        words = ["overthink", "sweep", recipe, *(word for change in changes or [] for word in ("--set", change))]
        words += ["--store", store, *(["--skip-bad-rows"] if skip_bad_rows else [])]
        screen = console()
        for failure in failures:
            screen.print(f"failed: {failure}", style="red", markup=False, highlight=False, soft_wrap=True)
        screen.print(
            f"{counted(len(failures), 'cell')} failed; all others are finished, and every answered call is safe. "
            f"Fix the cause, then run what is missing:\n{shlex.join(words)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _sweep(recipe: "SweepRecipe", place: str, skip_bad_rows: bool) -> tuple[str, ...]:
    """Run what is missing and print the results; returns the failures."""
    # Prefect and the engines' packages take seconds to import; report mistakes in the recipe before that.
    from overthink.flows.sweep import sweep as sweep_flow
    from overthink.storage.opening import open_store
    from overthink.tasks.plan.sweep_plan import check_runs, plan_sweep
    from overthink.tasks.reporting.sweep_tables import sweep_rows, sweep_table

    plan = plan_sweep(recipe, skip_bad_rows)
    opened, screen = open_store(place), console()
    unfinished = plan.unfinished(opened)
    check_runs(unfinished)
    print_dropped([complaint for problem_set in plan.problem_sets for complaint in problem_set.dropped])
    for policy in recipe.policies:
        print_taken(recipe.sampling, policy)
    for line in recipe.left_out():
        screen.print(f"left out: {line}", markup=False, highlight=False)
    failures: tuple[str, ...] = ()
    if unfinished:
        cells = sum(len(run.method_ids) for run in unfinished)
        what = f"{len(unfinished)} of {counted(len(plan.runs), 'run')} to do, {counted(cells, 'cell')}"
        try:
            carry_out(opened, plan.sweep_id, what, lambda: sweep_flow(recipe, place, skip_bad_rows))
        except CellsFailed as error:
            failures = error.failures
    else:
        opened.write_sweep(plan.listing)
        screen.print(f"sweep {plan.sweep_id}: all runs are complete, nothing to do", highlight=False, soft_wrap=True)
    rows = sweep_rows(opened, plan.listing.run_ids, recipe.budgets)
    print_whole(sweep_table(rows, recipe.budgets, plan.sweep_id))
    return failures
