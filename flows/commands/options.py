"""The options and arguments that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from overthink.flows.commands.terminal import print_note
from overthink.storage.opening import open_store
from overthink.storage.query_limits import QueryLimits, bytes_of
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.errors import UserError

DEFAULT_STORE = "store"
STORE_HELP = "Folder that holds all results, or s3://BUCKET/PREFIX."
StoreOption = Annotated[str, typer.Option("--store", envvar="OVERTHINK_STORE", help=STORE_HELP)]
RecipeArgument = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped recipe.")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Memory for it, as in 8GB; else half of what is free.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Threads for it, 1 at least; else one a core.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]


def existing(place: str) -> Store:
    """The existing store at a place. Raises StorageError where there is none."""
    opened = open_store(place)
    if not opened.exists():
        raise StorageError(f"there is no store at {place}: name one with --store, or make it with `overthink run`")
    return opened


def named_run(store: Store, name: str) -> Run:
    """The newest run of a name, or the run whose id is it or begins with it; says where there are others."""
    found = store.runs_named(name)
    if len(found) > 1:
        print_note(f"{name!r} names {len(found)} runs: this is the newest, {found[-1].run_id}")
    return found[-1]


def named_runs(store: Store, names: Iterable[str]) -> list[Run]:
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


def write_text(path: Path, text: str) -> None:
    """Write a file that the user named. Raises UserError where it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; name a file in an existing folder") from error
