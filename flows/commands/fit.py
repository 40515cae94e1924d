"""`overthink fit`: from finished runs to a strategy."""

from pathlib import Path
from typing import Annotated

import typer

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption, check_writable, existing, named_runs
from overthink.flows.commands.terminal import console, plain_errors, quiet
from overthink.tasks.counted import counted

DEFAULT_FILE = Path("strategy.yaml")


def fit(
    run_names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Runs or sweeps, by ids or their beginnings.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write; one for each pair of policy and PRM.")] = DEFAULT_FILE,
    name: Annotated[str | None, typer.Option(help="The strategy's name, instead of the file's.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Fit, from finished runs, the best method for each difficulty and budget, and measure the gain."""
    with plain_errors():
        quiet()
        check_writable(out)
        opened = existing(store)
        from overthink.tasks.recipes.strategy_file import write_strategy
        from overthink.tasks.reporting.fit_tables import fit_tables
        from overthink.tasks.strategy.fit_runs import fit

        for fitted in fit(opened, [run.run_id for run in named_runs(opened, run_names)], name or out.stem):
            for table in fit_tables(fitted):
                console().print(table)
            for method_id in fitted.left_out:
                console().print(f"left out: {method_id}, which was not run on all problems", highlight=False)
            if fitted.unknown:
                told = f"left out: {counted(fitted.unknown, 'problem')}, where all verdicts of some option are unknown"
                console().print(told, highlight=False)
            path = out.with_stem(out.stem + fitted.suffix)
            write_strategy(fitted.strategy, path)
            console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
