"""The options and arguments that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overthink.flows.commands.completing import recipe_names, run_names
from overthink.flows.commands.terminal import print_note
from overthink.storage.query_limits import QueryLimits, bytes_of
from overthink.storage.storage_errors import StorageError
from overthink.tasks.errors import UserError

if TYPE_CHECKING:
    from overthink.storage.store import Run, Store

DEFAULT_STORE = "store"
PARTS_OF_A_STORE = ("runs", "stages")
STORE_HELP = "Folder that holds all results, or s3://BUCKET/PREFIX."
StoreOption = Annotated[str, typer.Option("--store", envvar="OVERTHINK_STORE", help=STORE_HELP)]
RECIPE_HELP = "A YAML file, or the name of a shipped recipe."
RUN_HELP = "A run's id or its beginning, or the name of its recipe: then the newest."
RecipeArgument = Annotated[str, typer.Argument(help=RECIPE_HELP, autocompletion=recipe_names)]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Memory for it, as in 8GB; else half of what is free.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Threads for it, 1 at least; else one a core.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, autocompletion=run_names)]


def existing(place: str) -> "Store":
    """The existing store at a place. Raises StorageError, with what is there instead, where there is none."""
    from overthink.storage.opening import is_in_bucket, open_store

    opened, remedy = open_store(place), "name one with --store, or make it with `overthink run`"
    if is_in_bucket(place) or not opened.root.exists():
        if not opened.exists():
            raise StorageError(f"there is no store at {place}: {remedy}")
    elif not opened.root.is_dir():
        raise StorageError(f"{place} is a file, and a store is a folder: {remedy}")
    elif not any((opened.root / name).is_dir() for name in PARTS_OF_A_STORE):
        raise StorageError(f"there is no store at {place}: that folder holds neither runs nor stages; {remedy}")
    return opened


def named_run(store: "Store", name: str) -> "Run":
    """The newest run of a name, or the run whose id is it or begins with it; says where there are others."""
    found = store.runs_named(name)
    if len(found) > 1:
        print_note(f"{name!r} names {len(found)} runs: this is the newest, {found[-1].run_id}")
    return found[-1]


def named_runs(store: "Store", names: Iterable[str]) -> "list[Run]":
    """The runs of some names, and those of sweeps, each once; see `named_run`."""
    found = [
        run
        for name in names
        for run in ([named_run(store, name)] if store.find_sweep(name) is None else store.find_runs(name))
    ]
    return list({run.run_id: run for run in found}.values())


def limits_of(memory: str | None, threads: int | None, seconds: float | None) -> QueryLimits:
    """What a query may take, from the machine where an option is not given. Raises UserError for what cannot be."""
    if threads is not None and threads < 1:
        raise UserError(f"--threads: {threads} is too few: 1 at least")
    if seconds is not None and not seconds > 0:
        raise UserError(f"--time-limit: {seconds:g} is no time: a number of seconds, or 0 for no limit")
    try:
        given = {"memory": None if memory is None else bytes_of(memory), "threads": threads}
    except ValueError as error:
        raise UserError(f"--memory: {error}") from error
    return QueryLimits(seconds=seconds, **{name: value for name, value in given.items() if value is not None})


def check_writable(*paths: Path | None) -> None:
    """Raise UserError, before anything is computed, for a file that cannot be written where it is named."""
    for path in paths:
        if path is not None and path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file in it")
        if path is not None and not path.parent.is_dir():
            raise UserError(f"cannot write {path}: there is no folder {path.parent}; make it, or name a file elsewhere")


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named. Raises UserError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; name a file in an existing folder") from error
