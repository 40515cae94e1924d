"""`overthink status`: the runs of a store."""

from rich.table import Table

from flows.commands.options import DEFAULT_STORE, StoreOption, existing
from flows.terminal import console, told_plainly
from storage.errors import StoreBusy
from storage.store import Run, Store


def status(store: StoreOption = DEFAULT_STORE) -> None:
    """List the runs of a store."""
    with told_plainly():
        opened = existing(store)
        table = Table("run", "status", "problem set", "methods", "started", "finished")
        for stored in opened.runs():
            methods = dict.fromkeys(use.method_id for use in stored.stages if use.method_id)
            row = (stored.run_id, status_of(opened, stored), stored.problem_set, ", ".join(methods))
            table.add_row(*row, stored.created_at, stored.finished_at or "")
        console().print(table)


def status_of(store: Store, stored: Run) -> str:
    """A run's status; one that says it is running, though no process holds it, is interrupted."""
    if stored.status != "running":
        return stored.status
    try:
        with store.lock_run(stored.run_id):
            return "interrupted"
    except StoreBusy:
        return "running"
