"""`overthink prm-eval` and `overthink prm-train`: measure a PRM, or train one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overthink.flows.commands.completing import recipe_names
from overthink.flows.commands.options import (
    DEFAULT_STORE,
    RECIPE_HELP,
    RecipeArgument,
    StoreOption,
    check_writable,
    existing,
    named_run,
    write_text,
)
from overthink.flows.commands.report import print_report
from overthink.flows.commands.run import print_dropped, print_taken
from overthink.flows.commands.terminal import carry_out, console, plain_errors, print_complete, quiet
from overthink.tasks.counted import counted
from overthink.tasks.errors import UserError

if TYPE_CHECKING:
    from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe, PrmTrainRecipe


def prm_eval(
    recipe: Annotated[str | None, typer.Argument(help=RECIPE_HELP, autocompletion=recipe_names)] = None,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Instead: a finished run, by its id or its beginning.")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as solutions.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count solutions that cannot be used.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the curves to this file, as one page.")] = None,
) -> None:
    """Measure a PRM against labelled solutions, or against the grades of a finished run."""
    from overthink.storage.opening import open_store
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
    from overthink.tasks.recipes.prm_recipes import PrmEvalRecipe

    with plain_errors():
        if (recipe is None) == (run_name is None):
            raise UserError("name a recipe, such as prm-eval, or a finished run with --run; not both")
        quiet()
        check_writable(html)
        if recipe is not None:
            wanted = read_recipe_of(PrmEvalRecipe, find_recipe(recipe), changes or [])
            with naming(recipe, changes or []):
                run_id = _prm_eval_recipe(wanted, store, skip_bad_rows)
        else:
            if changes or skip_bad_rows:
                raise UserError("--set and --skip-bad-rows change a recipe; --run reads none")
            run_id = _prm_eval_run(str(run_name), store)
        opened = open_store(store)
        print_report(console(), opened, opened.find_run(run_id), only_prm=True)
        if html is not None:
            from overthink.tasks.reporting.html.markup import Section, figures, page
            from overthink.tasks.reporting.html.prm_figures import prm_pictures

            drawn = figures(prm_pictures(opened, run_id))
            write_text(html, page(f"PRM of {run_id}", [Section("The PRM", drawn)]))


def _prm_eval_recipe(recipe: "PrmEvalRecipe", place: str, skip_bad_rows: bool) -> str:
    from overthink.flows.prm_eval import prm_eval
    from overthink.storage.opening import open_store
    from overthink.tasks.datasets.labelled import load_solutions
    from overthink.tasks.plan.prm_eval_plan import plan_prm_eval
    from overthink.tasks.plan.run_plan import is_finished

    labelled = load_solutions(recipe.solutions, skip_bad_rows)
    plan = plan_prm_eval(recipe, labelled)
    opened = open_store(place)
    print_dropped(labelled.dropped)
    if not is_finished(plan, opened):
        what = counted(len(labelled.solutions), "solution")
        carry_out(opened, plan.run_id, what, lambda: prm_eval(recipe, place, skip_bad_rows))
    else:
        print_complete(opened, plan.run_id)
    return plan.run_id


def _prm_eval_run(name: str, place: str) -> str:
    opened = existing(place)
    from overthink.flows.prm_eval_run import READER, prm_eval_run
    from overthink.tasks.stages.scored_run import scored_run

    run_id = scored_run(opened, named_run(opened, name).run_id, READER).run_id
    carry_out(opened, run_id, "measuring its PRM", lambda: prm_eval_run(run_id, place))
    return run_id


def prm_train(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as rollouts=32.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
) -> None:
    """Train a PRM on Monte Carlo labels of a policy's rollouts, or resume it; a finished one is only reported."""
    from overthink.storage.opening import open_store
    from overthink.tasks.recipes.complaints import naming
    from overthink.tasks.recipes.loading import find_recipe, read_recipe_of
    from overthink.tasks.recipes.prm_recipes import PrmTrainRecipe

    with plain_errors():
        quiet()
        wanted = read_recipe_of(PrmTrainRecipe, find_recipe(recipe), changes or [])
        with naming(recipe, changes or []):
            run_id = _prm_train(wanted, store, skip_bad_rows)
        opened = open_store(store)
        print_report(console(), opened, opened.find_run(run_id))


def _prm_train(recipe: "PrmTrainRecipe", place: str, skip_bad_rows: bool) -> str:
    from overthink.flows.prm_train import prm_train
    from overthink.storage.opening import open_store
    from overthink.tasks.datasets.problem_loading import load_problems
    from overthink.tasks.plan.prm_train_plan import plan_prm_train
    from overthink.tasks.plan.run_plan import is_finished

    problem_set = load_problems(recipe.problems, skip_bad_rows, recipe.asking)
    plan = plan_prm_train(recipe, problem_set)
    opened = open_store(place)
    print_dropped(problem_set.dropped)
    print_taken(recipe.sampling, recipe.policy)
    if not is_finished(plan, opened):
        what = counted(len(problem_set.problems), "problem")
        carry_out(opened, plan.run_id, what, lambda: prm_train(recipe, place, skip_bad_rows))
    else:
        print_complete(opened, plan.run_id)
    return plan.run_id
