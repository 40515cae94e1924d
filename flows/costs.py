"""What a run cost, read from the store by SQL, as rows and as a terminal table."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from storage.errors import StorageError
from storage.sql import COST_SUMS, query
from storage.store import Store

# A call that two methods of a run share is in all of them, and once in what they cost together.
COST_SQL = f"""WITH own AS (SELECT * FROM call_costs WHERE run_id = '{{run_id}}'),
once AS (SELECT DISTINCT ON (call_key) * FROM own)
SELECT method_id, count(DISTINCT problem_id) AS problems, {COST_SUMS} FROM own GROUP BY method_id
UNION ALL SELECT 'all', count(DISTINCT problem_id), {COST_SUMS} FROM once"""

COLUMNS = {
    "problems": ("problems", ","),
    "policy_prompt_tokens": ("prompt tokens", ","),
    "policy_cached_tokens": ("of them cached", ","),
    "policy_completion_tokens": ("written tokens", ","),
    "prm_prompt_tokens": ("PRM tokens", ","),
    "prm_cached_tokens": ("of them cached", ","),
    "policy_flops": ("policy FLOPs", ".3g"),
    "prm_flops": ("PRM FLOPs", ".3g"),
    "engine_seconds": ("engine s", ",.1f"),
    "gpu_seconds": ("GPU s", ",.1f"),
}


def cost_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A row for each method of a run as its recipe lists them, then one for all. Raises StorageError without calls."""
    order = [*dict.fromkeys(use.method_id for use in store.find_run(run_id).stages), "all"]
    rows = query(store, COST_SQL.format(run_id=run_id)).to_pylist()
    if len(rows) == 1:
        raise StorageError(f"{run_id} has no finished part with calls yet: run its recipe to go on with it")
    return sorted(rows, key=lambda row: order.index(row["method_id"]))


def cost_table(rows: Sequence[dict[str, Any]], title: str, price_per_hour: float | None) -> Table:
    """Tokens, FLOPs and time of each method; with a price for an hour of the machine, what the engines' time costs."""
    table = Table(title=title, caption="engine s: seconds in which a model was at work, loading left out")
    table.add_column("method")
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right")
    if price_per_hour is not None:
        table.add_column("price", justify="right")
    for row in rows:
        cells = [_cell(row[name], shape) for name, (_, shape) in COLUMNS.items()]
        if price_per_hour is not None:
            cells.append(_cell(row["engine_seconds"] / 3600 * price_per_hour, ",.2f"))
        table.add_row(row["method_id"], *cells, end_section=row is rows[-2])
    return table


def _cell(value: float | None, shape: str) -> str:
    return "unknown" if value is None else format(value, shape)
