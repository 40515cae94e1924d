"""The results of a sweep, read from the store by SQL: the best choice of each pair at each budget."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.reporting.results import accuracy_text, chance_text

# Greedy answers have their own column; `oracle` needs the references, so it is not a choice.
BEST_SQL = """SELECT r.policy, r.prm, r.problem_set, s.run_id, s.n, s.method_id = 'cot' AS greedy, s.method_id,
       s.selector, s.accuracy, s.ci_low, s.ci_high, s.accuracy_low, s.accuracy_high, s.unknown, s.estimator,
       s.flops, s.chance
FROM summary s JOIN runs r USING (run_id)
WHERE s.run_id IN ({run_ids}) AND s.selector != 'oracle' AND s.accuracy IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY s.run_id, s.n, greedy
                           ORDER BY s.accuracy DESC, s.flops NULLS LAST, s.method_id, s.selector) = 1
ORDER BY r.policy, r.prm, r.problem_set, s.run_id, greedy DESC, s.n"""


def sweep_sql(run_ids: Sequence[str]) -> str:
    """The query for the best choice of each run at each n, and its greedy answers."""
    return BEST_SQL.format(run_ids=", ".join(f"'{run_id}'" for run_id in run_ids))


def sweep_rows(store: Store, run_ids: Sequence[str], budgets: Sequence[int]) -> list[dict[str, Any]]:
    """The best choice of each run at each budget, the cheapest of equal ones, and its greedy answers."""
    rows = query(store, sweep_sql(run_ids)).to_pylist()
    return [row for row in rows if row["greedy"] or row["n"] in budgets]


def sweep_table(rows: Sequence[dict[str, Any]], budgets: Sequence[int], title: str) -> Table:
    """One line per run: greedy accuracy, and for each budget the best accuracy and its choice."""
    caption = (
        "best accuracy in % with its 95 % interval; chosen on the same problems, so slightly too high; ~ by Monte "
        "Carlo, `overthink report RUN` shows its error"
    )
    table = Table(title=title, caption=caption, show_lines=True)
    for header in ("run", "policy", "PRM", "problem set"):
        table.add_column(header, overflow="fold")
    has_chance = any(row["chance"] is not None for row in rows)
    for header in (*(["chance"] if has_chance else []), "greedy", *(f"n = {budget}" for budget in sorted(budgets))):
        table.add_column(header, overflow="fold")
    for run_id in dict.fromkeys(row["run_id"] for row in rows):
        of_run = [row for row in rows if row["run_id"] == run_id]
        cells = {None if row["greedy"] else row["n"]: _cell(row) for row in of_run}
        names = (run_id, of_run[0]["policy"], (of_run[0]["prm"] or "").split("@")[0], of_run[0]["problem_set"])
        guesses = [chance_text(of_run[0]["chance"])] if has_chance else []
        table.add_row(*names, *guesses, *(cells.get(budget, "") for budget in (None, *sorted(budgets))))
    return table


def _cell(row: dict[str, Any]) -> str:
    accuracy = accuracy_text(row)
    return accuracy if row["greedy"] else f"{accuracy}\n{row['method_id']}\n{row['selector']}"
