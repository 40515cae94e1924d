"""`overthink deploy`: a recipe for the workers of a Prefect server."""

import asyncio
from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, RecipeArgument, StoreOption
from overthink.flows.commands.terminal import console, plain_errors, quiet


def deploy(
    recipe: RecipeArgument,
    changes: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as problems.count=20.")] = None,
    store: StoreOption = DEFAULT_STORE,
    skip_bad_rows: Annotated[bool, typer.Option(help="Drop and count problems that cannot be used.")] = False,
    cron: Annotated[str | None, typer.Option(help="When it runs, as '0 3 * * *'; without it only on demand.")] = None,
    timezone: Annotated[str, typer.Option(help="The time zone of the schedule.")] = "UTC",
    pool: Annotated[str, typer.Option(help="The work pool whose workers run it.")] = "overthink",
    workers: Annotated[int, typer.Option(min=1, help="How many workers of the pool share each run.")] = 1,
    name: Annotated[str | None, typer.Option(help="The deployment's name, instead of the recipe's.")] = None,
) -> None:
    """Register a recipe on a Prefect server, for its workers to run on a schedule or on demand."""
    from overthink.tasks.recipes.loading import find_recipe, read_recipe

    with plain_errors():
        quiet()
        wanted = read_recipe(find_recipe(recipe), changes or [])
        from overthink.flows.evaluate import evaluate
        from overthink.flows.orchestration.deployments import cron_schedule, flow_parameters, register

        parameters = flow_parameters(wanted, store, skip_bad_rows, workers)
        schedule = None if cron is None else cron_schedule(cron, timezone)
        called = name or wanted.name
        page = asyncio.run(register(evaluate, called, pool, parameters, schedule, workers))
    when = "on demand" if cron is None else f"at {cron} ({timezone})"
    say = console().print
    by = f"the workers of {pool}" if workers == 1 else f"{workers} workers of {pool} together"
    again = "" if workers == 1 else f" --workers {workers}"
    say(f"deployment {called}: {when}, by {by}, into {store}", markup=False, soft_wrap=True)
    say(f"{page}\noverthink run {recipe} --deployment {called}{again}", markup=False, soft_wrap=True)
