"""What an SQL answer leaves out: rows of complete runs whose stages have lost parts."""

from collections.abc import Collection, Iterable

from overthink.storage.completeness import IncompleteStage, lack
from overthink.storage.stage_kinds import TABLES_OF
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store


def left_out(store: Store, runs: Iterable[Run], tables: Collection[str]) -> str | None:
    """One line on the rows of `tables` that complete runs lack, and the remedy; None where they lack none.

    Reads only the manifests, no byte of a part.
    """
    lacking = {run.run_id: lacks for run in runs if (lacks := _lacking(store, run, tables)) is not None}
    if not lacking:
        return None
    run_id, lacks = next(iter(lacking.items()))
    note = f"rows of run {run_id}, which is complete, are left out: {lacks}; run its recipe again, which rebuilds them"
    others = f" ({len(lacking) - 1} more lack parts: `overthink doctor --store {store.address}` names them all)"
    return note if len(lacking) == 1 else note + others


def _lacking(store: Store, run: Run, tables: Collection[str]) -> str | None:
    if run.status != "complete":
        return None
    for use in run.stages:
        if TABLES_OF[use.kind].isdisjoint(tables):
            continue
        try:
            reason = lack(store, run, use)
        except StorageError as error:  # the run has no problems stage: none of its rows can be found
            return str(error)
        if reason is not None:
            return str(IncompleteStage(use, reason))
    return None
