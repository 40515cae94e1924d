"""A finished run as a folder in the layout of the Hugging Face hub: a Parquet file a table, and a card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overthink.storage.completeness import incomplete_stages
from overthink.storage.export_places import check_folder
from overthink.storage.exporting import Export, new_folder, rows_of_runs
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.reporting.publishing.data_set_card import CARD, Listing, data_set_card


@dataclass(frozen=True)
class PublicTable:
    """A table as it is published: what a row is, and what orders the rows, so that a second push is equal."""

    row: str
    order: str


PUBLIC_TABLES: Mapping[str, PublicTable] = {
    "rollouts": PublicTable(
        "a solution: its text, answer, tokens, log-probability", "method_id, problem_id, sample_index"
    ),
    "problems": PublicTable("a problem with its reference answer", "problem_set, problem_id"),
    "steps": PublicTable("a step of a solution", "rollout_id, step_index"),
    "scores": PublicTable("the PRM's score of a step, in [0, 1]", "rollout_id, prm, step_index"),
    "critiques": PublicTable("what a verifier wrote of a step", "rollout_id, prm, step_index, critique"),
    "verdicts": PublicTable("the grade of a solution; null is unknown", "method_id, rollout_id, grader"),
    "test_results": PublicTable("the tests of a program", "rollout_id, suite"),
    "nodes": PublicTable("a step that a search drew, kept or not", "method_id, problem_id, node_id"),
    "decisions": PublicTable("what a strategy chose for a problem", "method_id, problem_id"),
    "groups": PublicTable("which answers counted as equal", "method_id, problem_id, sample_index"),
    "selections": PublicTable("the answer that a selector chose among n", "method_id, problem_id, n, selector"),
    "summary": PublicTable("an accuracy with its interval and its cost", "method_id, selector, n"),
}


def publishable(store: Store, run: Run) -> Run:
    """The run, where it is finished and nothing of it is lost. Raises StorageError with the remedy elsewhere."""
    if run.status != "complete":
        raise StorageError(f"run {run.run_id} is not complete: run its recipe again to finish it")
    for stage in incomplete_stages(store, run):
        raise StorageError(f"run {run.run_id}, {stage}; run its recipe again, which mends it")
    return run


def write_data_set(export: Export, listing: Listing, path: Path, force: bool = False) -> Mapping[str, int]:
    """Write the tables of one run that have rows, and a card, into a folder; returns the tables' numbers of rows.

    It is there whole or not at all; with `force` it takes the place of an earlier one. Raises StorageError where it may
    not be written, and on a full or failing disk.
    """
    check_folder(path, export.store.root, force, (CARD,))
    with new_folder(path) as made:
        counts = export.write_tables(made, {name: _query(name) for name in PUBLIC_TABLES})
        for name in [name for name, rows in counts.items() if not rows]:
            (made / f"{name}.parquet").unlink()
        held = {name: rows for name, rows in counts.items() if rows}
        rows = {name: (PUBLIC_TABLES[name].row, count) for name, count in held.items()}
        (made / CARD).write_text(data_set_card(export.store, export.runs[0], listing, rows), encoding="utf-8")
    return held


def _query(table: str) -> str:
    """The rows of a table in order; a PRM's name without the folder that a server loaded it from."""
    rows = rows_of_runs(table)
    if table == "scores":
        rows = rows.replace("*", "* REPLACE (parse_filename(prm) AS prm)", 1)
    return f"{rows} ORDER BY {PUBLIC_TABLES[table].order}"
