"""Commands that only read: `sql`, `cost`, `tree` and `recipes`."""

from typing import Annotated, Literal

import typer
from rich.table import Table

from overthink.flows.commands.options import (
    DEFAULT_STORE,
    MemoryOption,
    RunArgument,
    StoreOption,
    ThreadsOption,
    existing,
    limits_of,
    named_run,
)
from overthink.flows.commands.terminal import console, plain_errors, print_note, unfolded
from overthink.storage.query_limits import TIME_LIMIT_SECONDS

Format = Literal["table", "csv", "json", "parquet"]


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over the store's tables.")],
    output: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = "table",
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    time_limit: Annotated[float, typer.Option(help="Seconds that it may compute; 0: no limit.")] = TIME_LIMIT_SECONDS,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Query the store: runs, problems, rollouts, steps, scores, grades, selections, calls, costs, summary and more.

    Imported runs also fill the table reported, measured PRMs the table prm_metrics.
    """
    from overthink.flows.commands.output import print_rows
    from overthink.storage.sql import stream

    with plain_errors():
        limits = limits_of(memory, threads, time_limit or None)
        with stream(existing(store), query, limits, print_note) as rows:
            print_rows(rows, output)


def cost(
    run_name: RunArgument,
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="What an hour of the machine costs.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print a run's costs: tokens, FLOPs, seconds, GPU-seconds, by method and in all."""
    from overthink.tasks.reporting.costs import cost_rows, cost_table

    with plain_errors():
        opened = existing(store)
        run_id = named_run(opened, run_name).run_id
        rows = cost_rows(opened, run_id)
        console().print(cost_table(rows, run_id, price_per_hour))


def tree(
    run_name: RunArgument,
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="A problem_id.")],
    method: Annotated[str | None, typer.Option(help="Which search, where the run has several.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print a search's tree for one problem: scores, steps, pruned steps, and ends of paths (■)."""
    from overthink.tasks.reporting.tree_text import tree_of

    with plain_errors():
        opened = existing(store)
        drawn = tree_of(opened, named_run(opened, run_name).run_id, problem, method)
        # Deep trees are wider than any terminal; wrapped beside their branches they are unreadable.
        unfolded(drawn).print(drawn)


def recipes() -> None:
    """List the recipes that come with Overthink."""
    from overthink.tasks.recipes.loading import shipped_recipes

    table = Table("recipe", "what it does")
    for name, path in shipped_recipes().items():
        table.add_row(name, path.read_text(encoding="utf-8").splitlines()[0].lstrip("# "))
    console().print(table)
