"""`overthink push`: a run as a data set on the Hugging Face hub, or in a folder."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

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
from overthink.flows.commands.terminal import Screen, console, plain_errors, print_note
from overthink.tasks.counted import counted


def push(
    run_name: RunArgument,
    data_set: Annotated[str, typer.Argument(metavar="HUB_REPO", help="The data set on the hub: OWNER/NAME.")],
    to: Annotated[
        Path | None, typer.Option(help="Only write into this new folder what would be uploaded; needs no network.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new data set, not you alone.")] = False,
    licence: Annotated[str, typer.Option(help="The licence as the hub spells it, such as cc-by-4.0.")] = "unknown",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there, of another run too.")] = False,
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Publish a finished run: rollouts, steps, scores, grades and choices, with a card that says how they were made.

    A new data set is private. Paths, addresses and devices of this machine are in no table and not in the card.
    """
    from overthink.storage.exporting import Export
    from overthink.tasks.reporting.publishing.data_set_card import Listing
    from overthink.tasks.reporting.publishing.data_set_folder import publishable, write_data_set
    from overthink.tasks.reporting.publishing.hub_upload import HubAway, HubDataSet

    with plain_errors():
        hub, opened = HubDataSet(data_set, public, force), existing(store)
        run = publishable(opened, named_run(opened, run_name))
        export = Export(opened, (run,), limits_of(memory, threads, None), print_note)
        listing = Listing(data_set, licence)
        if to is not None:
            place, rows = str(to), write_data_set(export, listing, to, force)
        else:
            try:
                hub.prepare(run.run_id)
                with TemporaryDirectory(prefix="overthink-push-") as folder:
                    rows = write_data_set(export, listing, Path(folder) / "data_set")
                    place = hub.upload(Path(folder) / "data_set", run.run_id)
            except HubAway as error:
                Screen(stderr=True).print(str(error), style="red", soft_wrap=True, highlight=False)
                raise typer.Exit(1) from error
        told = f"{place}: {counted(len(rows), 'table')}, {counted(sum(rows.values()), 'row')}, of run {run.run_id}"
        console().print(told, soft_wrap=True, highlight=False)
