"""`overthink gc` and `overthink doctor`: a store kept small, and everything looked over."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from flows.commands.options import DEFAULT_STORE, StoreOption, existing
from flows.recipe_files import find_recipe, read_runs
from flows.terminal import console, printable, quiet, told_plainly
from storage.garbage import Garbage, find_garbage, remove_garbage
from storage.store import Store

STYLES = {"ok": "green", "warning": "yellow", "broken": "red"}


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; otherwise it is only listed.")] = False,
    run_names: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="Also forget this run, and what only it refers to.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List, and with --yes remove, what no run refers to: stages, set-aside parts, journals, models, locks."""
    with told_plainly():
        opened = existing(store)
        forgotten = {opened.find_run(name).run_id for name in run_names or []}
        if not yes:
            found = find_garbage(opened, forgotten)
            _print_garbage(opened, found)
            console().print(f"{_total(found)}; nothing was removed, --yes removes it" if found else "no garbage")
            return
        gone, left = remove_garbage(opened, forgotten)
        _print_garbage(opened, gone)
        for reason in left:
            console().print(f"left alone: {reason}", markup=False, soft_wrap=True)
        console().print(f"{_total(gone)}: removed" if gone else "no garbage")


def _print_garbage(store: Store, found: Sequence[Garbage]) -> None:
    if not found:
        return
    table = Table("what", "why")
    table.add_column("bytes", justify="right")
    for item in found:
        table.add_row(str(item.path.relative_to(store.root)), item.reason, f"{item.size:,}")
    console().print(table)


def _total(found: Sequence[Garbage]) -> str:
    return f"{len(found)} things of {sum(item.size for item in found):,} bytes"


def doctor(
    store: Annotated[
        str | None, typer.Option("--store", envvar="OVERTHINK_STORE", help="Also check this store, byte for byte.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Also ask the endpoints of this recipe whether they serve its models.")
    ] = None,
    endpoints: Annotated[
        list[str] | None, typer.Option("--endpoint", metavar="URL", help="Also ask this endpoint what it serves.")
    ] = None,
) -> None:
    """Look over Python, packages, engines, GPUs, Prefect, endpoints and a store; exits with 1 where one is broken."""
    with told_plainly():
        quiet()
        opened = None if store is None else existing(store)
        from flows.health import findings, served_models

        served = () if recipe is None else served_models(read_runs(find_recipe(recipe)))
        levels = set()
        for finding in findings(opened, served, endpoints or ()):
            levels.add(finding.level)
            remedy = f": {finding.remedy}" if finding.remedy else ""
            line = Text(f"{finding.level:8}", style=STYLES[finding.level])
            what = printable(f"{finding.place}: {finding.what}{remedy}")
            console().print(line.append(what, style="default"), soft_wrap=True)
        if "broken" in levels:
            raise typer.Exit(1)
