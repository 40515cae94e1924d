"""`overthink gc` and `overthink doctor`: remove garbage from a store, and check everything."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption, existing
from overthink.flows.commands.terminal import chatter_to, console, plain_errors, quiet, unfolded
from overthink.tasks.counted import counted
from overthink.tasks.errors import UserError
from overthink.tasks.terminal_text import printable

if TYPE_CHECKING:
    from overthink.storage.garbage import Garbage
    from overthink.storage.integrity import Finding
    from overthink.storage.store import Store
    from overthink.tasks.recipes.recipe import Recipe

STYLES = {"ok": "green", "warning": "yellow", "broken": "red"}


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; otherwise it is only listed.")] = False,
    run_names: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Also forget this run or sweep, and what only it refers to."),
    ] = None,
    confirmed: Annotated[
        list[str] | None,
        typer.Option("--confirm", metavar="NAME", help="Also remove this stage that engines made, or this model."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List, and with --yes remove, what no run refers to: stages, set-aside parts, journals, models, locks.

    What engines made is listed separately, and removed only by --confirm with the name of each stage.
    """
    from overthink.storage.garbage import find_garbage, remove_garbage

    with plain_errors():
        opened = existing(store)
        forgotten = {run_id for name in run_names or [] for run_id in _forgotten(opened, name)}
        found, named = find_garbage(opened, forgotten), set(confirmed or [])
        unknown = named - {item.confirm for item in found}
        if unknown:
            raise UserError(f"--confirm {', '.join(sorted(unknown))}: no such garbage: `overthink gc` lists the names")
        kept = [item for item in found if item.confirm not in {None, *named}]
        left: list[str] = []
        if yes:
            found, left = remove_garbage(opened, forgotten, named)
            _print_garbage(opened, found, f"{_total(found)}: removed")
            for reason in left:
                console().print(f"left alone: {reason}", markup=False, soft_wrap=True)
        else:
            found = [item for item in found if item not in kept]
            _print_garbage(opened, found, f"{_total(found)}; nothing was removed, --yes removes it")
        _print_garbage(opened, kept, f"{_total(kept)} that engines made; --yes --confirm NAME removes those of NAME")
        if not found and not kept and not left:
            console().print("no garbage")


def _forgotten(store: "Store", name: str) -> list[str]:
    """The ids of a run, or of a sweep and its runs. Raises where there is none, or several."""
    sweep = store.find_sweep(name)
    if sweep is not None:
        return [sweep.sweep_id, *(run.run_id for run in store.find_runs(name))]
    named = [run.run_id for run in store.runs_named(name)]
    if len(named) > 1:
        raise UserError(f"--run {name} names {len(named)} runs: say which by its id, of {', '.join(named)}")
    return named


def _print_garbage(store: "Store", found: "Sequence[Garbage]", conclusion: str) -> None:
    if not found:
        return
    table = Table("what", "why", "name")
    table.add_column("bytes", justify="right")
    for item in found:
        table.add_row(str(item.path.relative_to(store.root)), item.reason, item.confirm or "", f"{item.size:,}")
    unfolded(table).print(table)
    console().print(conclusion, soft_wrap=True)


def _total(found: "Sequence[Garbage]") -> str:
    return f"{counted(len(found), 'thing')} of {sum(item.size for item in found):,} bytes"


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
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Also load the recipe's policy: does the same seed give the same tokens?")
    ] = False,
) -> None:
    """Check Python, packages, engines, GPUs, Prefect, endpoints and a store; exits with 1 where one is broken."""
    from overthink.tasks.recipes.loading import find_recipe, read_runs

    with plain_errors():
        quiet()
        if seeds and recipe is None:
            raise UserError("--seeds draws from the policy of a recipe: name it with --recipe")
        opened = None if store is None else existing(store)
        from overthink.flows.commands.doctor_findings import findings, served_models

        runs = [] if recipe is None else read_runs(find_recipe(recipe))
        levels = {_told(finding) for finding in findings(opened, served_models(runs), endpoints or ())}
        if seeds:
            levels |= _seeds_told(runs)
        told = not_checked(store, recipe, endpoints or ())
        if told:
            console().print(told, soft_wrap=True, highlight=False)
        if "broken" in levels:
            raise typer.Exit(1)


def not_checked(store: str | None, recipe: str | None, endpoints: Sequence[str]) -> str:
    """What `doctor` leaves out because no option names it, as a line; empty where that is nothing."""
    asked = {"a store (--store)": store, "endpoints (--recipe, --endpoint)": recipe or endpoints}
    left_out = [what for what, given in asked.items() if not given]
    return f"not checked: {', '.join(left_out)}" if left_out else ""


def _seeds_told(runs: "Sequence[Recipe]") -> set[str]:
    """Load the policies of recipes and print what is found; returns the levels."""
    from overthink.flows.commands.seed_findings import seed_findings

    log = Path(tempfile.mkdtemp(prefix="overthink-doctor-")) / "engines.log"
    with chatter_to(log):
        found = list(seed_findings(runs))
    levels = {_told(finding) for finding in found}
    if "broken" in levels:
        console().print(f"what the engines printed: {log}", markup=False, soft_wrap=True)
    else:
        shutil.rmtree(log.parent)
    return levels


def _told(finding: "Finding") -> str:
    """Print a finding; returns its level."""
    remedy = f": {finding.remedy}" if finding.remedy else ""
    line = Text(f"{finding.level:8}", style=STYLES[finding.level])
    what = printable(f"{finding.place}: {finding.what}{remedy}")
    console().print(line.append(what, style="default"), soft_wrap=True)
    return finding.level
