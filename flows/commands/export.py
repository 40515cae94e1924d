"""`overthink export`: runs as files for DuckDB, pandas, polars and whatever else reads Parquet."""

from pathlib import Path
from typing import Annotated

import typer

from overthink.flows.commands.options import (
    DEFAULT_STORE,
    MemoryOption,
    StoreOption,
    ThreadsOption,
    existing,
    limits_of,
    named_runs,
)
from overthink.flows.commands.terminal import console, plain_errors, print_note
from overthink.tasks.counted import counted
from overthink.tasks.errors import UserError


def export(
    run_names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs or sweeps, by their ids or the beginning of them."),
    ] = None,
    duckdb: Annotated[Path | None, typer.Option(help="Write one DuckDB file with all tables.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write a folder with one Parquet file a table.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote there.")] = False,
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write all tables of runs, of the whole store where none is named, for tools that know nothing of Overthink."""
    from overthink.storage.exporting import Export

    with plain_errors():
        if (duckdb is None) == (parquet is None):
            raise UserError("say where to: either --duckdb FILE or --parquet DIR")
        opened = existing(store)
        runs = named_runs(opened, run_names) if run_names else opened.runs()
        exported = Export(opened, runs, limits_of(memory, threads, None), print_note)
        if duckdb is not None:
            place, rows = duckdb, exported.to_duckdb(duckdb, force)
        else:
            assert parquet is not None
            place, rows = parquet, exported.to_parquet(parquet, force)
        told = f"{place}: {len(rows)} tables, {counted(sum(rows.values()), 'row')}, of {counted(len(runs), 'run')}"
        console().print(told, soft_wrap=True, highlight=False)
