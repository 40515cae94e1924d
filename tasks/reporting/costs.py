"""A run's costs, read from the store by SQL, as rows and as a terminal table."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Store
from overthink.storage.views import COST_SUMS

# A call that two methods of a run share counts in each of them, and once in the total. Each call goes through once, to
# one or two of a few groups, so that memory does not grow with them.
COST_SQL = f"""SELECT counted AS method_id, count(DISTINCT problem_id) AS problems, {COST_SUMS}
FROM (SELECT *, unnest(CASE WHEN in_total THEN [method_id, 'all'] ELSE [method_id] END) AS counted
      FROM call_costs WHERE run_id = '{{run_id}}')
GROUP BY counted"""

PROGRAMS_SQL = """SELECT count(*) AS programs, sum(cpu_seconds) AS seconds, count(*) - count(cpu_seconds) AS unknown
FROM call_costs WHERE run_id = '{run_id}' AND kind = 'execute' AND in_total"""

LINES = {
    "problems": ("problems", ","),
    "policy_prompt_tokens": ("policy: prompt tokens", ","),
    "policy_cached_tokens": ("  of them from the cache", ","),
    "policy_completion_tokens": ("policy: written tokens", ","),
    "prm_tokens": ("PRM: tokens", ","),
    "prm_cached_tokens": ("  of them from the cache", ","),
    "policy_flops": ("policy: FLOPs", ".3g"),
    "prm_flops": ("PRM: FLOPs", ".3g"),
    "engine_seconds": ("engine seconds", ",.1f"),
    "gpu_seconds": ("GPU-seconds", ",.1f"),
    "cpu_seconds": ("CPU seconds of programs", ",.1f"),
}


def cost_lines(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """What a table of costs lists: column, label and format; that of programs only where any were run."""
    has_programs = any(row["cpu_seconds"] != 0 for row in rows)
    return {name: line for name, line in LINES.items() if name != "cpu_seconds" or has_programs}


def cost_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A row for each method of a run as its recipe lists them, then one for all. Raises StorageError without calls."""
    rows = known_costs(store, run_id)
    if not rows:
        raise StorageError(f"{run_id} has no finished part with calls yet: run its recipe to continue it")
    return rows


def known_costs(store: Store, run_id: str) -> list[dict[str, Any]]:
    """The rows of `cost_rows`; none where no call is stored, as of an imported run."""
    run = store.find_run(run_id)
    order = [*dict.fromkeys(use.method_id for use in run.stages), "all"]
    rows = query(store, COST_SQL.format(run_id=run_id), run=run).to_pylist()
    return sorted(rows, key=lambda row: order.index(row["method_id"]))


def cost_table(rows: Sequence[dict[str, Any]], title: str, price_per_hour: float | None) -> Table:
    """Tokens, FLOPs and time, a column for each row; with a price per machine hour, the price of the time."""
    table = Table(title=title, caption="engine seconds: a model was at work; loading and pauses are left out")
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(row["method_id"], justify="right", overflow="fold")
    for name, (label, shape) in cost_lines(rows).items():
        table.add_row(label, *(_cell(row[name], shape) for row in rows))
    if price_per_hour is not None:
        hours = [None if row["engine_seconds"] is None else row["engine_seconds"] / 3600 for row in rows]
        table.add_row("price", *(_cell(None if time is None else time * price_per_hour, ",.2f") for time in hours))
    return table


def program_lines(store: Store, run_id: str) -> list[str]:
    """A line on the programs that a run's tests started; none where it started none."""
    run = store.find_run(run_id)
    if not any(use.kind in (StageKind.TEST, StageKind.SEARCH) for use in run.stages):
        return []
    (row,) = query(store, PROGRAMS_SQL.format(run_id=run_id), run=run).to_pylist()
    if not row["programs"]:
        return []
    if row["unknown"]:
        return [f"{row['programs']:,} executions of programs; what {row['unknown']:,} of them took is unknown"]
    return [f"{row['programs']:,} executions of programs took {row['seconds']:,.1f} CPU seconds"]


def _cell(value: float | None, shape: str) -> str:
    return "unknown" if value is None else format(value, shape)
