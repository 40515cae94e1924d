"""`overthink run`: from problems to graded choices."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.compare import print_verdict
from flows.commands.options import DEFAULT_STORE, RecipeArgument, StoreOption
from flows.commands.report import print_report
from flows.recipe import Recipe
from flows.recipe_files import find_recipe, read_recipe
from flows.terminal import carry_out, console, quiet, told_plainly
from storage.store import Store
from tasks.errors import Regression


def run(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Run a recipe, or go on with it; a finished one is only reported."""
    with told_plainly():
        quiet()
        wanted = read_recipe(find_recipe(recipe), changes or [])
        opened, run_id = run_to_end(wanted, store, skip_bad_rows)
        stored = opened.find_run(run_id)
        print_report(console(), opened, stored)
        if wanted.gate is not None:
            from flows.gate import judge

            print_verdict(judge(opened, stored, wanted.gate))


def run_to_end(recipe: Recipe, root: Path, skip_bad_rows: bool) -> tuple[Store, str]:
    """Run what is missing of a recipe, nothing if it is finished; returns the store and the run's id."""
    # Prefect and the engines' packages take seconds to import; a mistake in the recipe is told before.
    from flows.evaluate import evaluate, is_finished
    from flows.plan import make_plan
    from tasks.problems.sources import load_problems

    problem_set = load_problems(recipe.problems, skip_bad_rows)
    plan = make_plan(recipe, problem_set)
    opened = Store(root)
    print_dropped(problem_set.dropped)
    if not is_finished(plan, opened):
        what = "1 problem" if len(plan.units) == 1 else f"{len(plan.units)} problems"
        with suppress(Regression):  # `run` tells it under the report
            carry_out(opened, plan.run_id, what, lambda: evaluate(recipe, root, skip_bad_rows))
    return opened, plan.run_id


def print_dropped(complaints: Sequence[str]) -> None:
    """Say which rows were left out, and why."""
    for complaint in complaints:
        console().print(f"dropped: {complaint}", markup=False)
