"""A run's result, read from the store by SQL as rows, and how its accuracies are written."""

from collections.abc import Iterable, Mapping
from typing import Any

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.estimators import SUBSETS
from overthink.tasks.analysis.selectors import ORACLE, places

CAPTION = "accuracy in % with its 95 % interval over problems"
SUMMARY_SQL = "SELECT * FROM summary WHERE run_id = '{run_id}' ORDER BY method_id, selector, n"
# Subsets are drawn for each problem, and are right with probability `accuracy`: the errors are binomial.
MONTE_CARLO_SQL = f"""SELECT max(error) AS error FROM (
    SELECT sqrt(sum(accuracy * (1 - accuracy)) / {SUBSETS}) / count(accuracy) AS error
    FROM selections WHERE run_id = '{{run_id}}' AND estimator = 'monte_carlo' GROUP BY method_id, selector, n)"""

CHANCE_SQL = """SELECT avg(chance) AS chance FROM problems JOIN runs USING (problem_set) WHERE run_id = '{run_id}'"""

Row = Mapping[str, Any]


def summary_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A run's rows of `summary`: methods in the recipe's order, selectors from majority to oracle, n ascending."""
    methods = list(dict.fromkeys(use.method_id for use in store.find_run(run_id).stages))
    rows = query(store, SUMMARY_SQL.format(run_id=run_id)).to_pylist()
    place = places(row["selector"] for row in rows)
    return sorted(rows, key=lambda row: (methods.index(row["method_id"]), place[row["selector"]], row["n"]))


def run_title(run: Run) -> str:
    """A run's name, policy, PRM and problems in a line: what its tables and figures are of."""
    prm = "" if run.prm is None else f" with {run.prm}"
    return f"{run.run_id}: {run.policy or 'unknown policy'}{prm} on {run.problem_set}"


def best_row(rows: Iterable[Row]) -> Row | None:
    """The most accurate choice of a run, in hindsight, of equal ones the one with the smallest n; None where unknown.

    The one solution of cot is no choice, and the oracle's is one that nobody can make.
    """
    choices = [row for row in rows if row["method_id"] != "cot" and row["selector"] != ORACLE.name]
    known = [row for row in choices if row["accuracy"] is not None]
    return max(known, key=lambda row: (row["accuracy"], -row["n"]), default=None)


def monte_carlo_note(store: Store, run_id: str) -> str:
    """A note on the mark ~, with the largest standard error of the accuracies that have it; empty where none has."""
    error = query(store, MONTE_CARLO_SQL.format(run_id=run_id)).to_pylist()[0]["error"]
    if error is None:
        return ""
    return f"; ~ estimated by {SUBSETS} random subsets a problem, standard error {100 * error:.2f} points at most"


def accuracy_notes(store: Store, run_id: str) -> str:
    """What stands behind the caption of accuracies: that of guesses, where there is one, pass@n, and what ~ marks."""
    return chance_note(store, run_id) + pass_note(store, run_id) + monte_carlo_note(store, run_id)


def pass_note(store: Store, run_id: str) -> str:
    """What the field calls the accuracy of the oracle where answers are programs; empty elsewhere."""
    ran = any(use.kind == StageKind.TEST for use in store.find_run(run_id).stages)
    return "; oracle of independent programs is pass@n, unbiased" if ran else ""


def chance_note(store: Store, run_id: str) -> str:
    """The mean probability that a guess is right; empty where that says nothing."""
    return told_chance(query(store, CHANCE_SQL.format(run_id=run_id)).to_pylist()[0]["chance"])


def told_chance(chance: float | None) -> str:
    """The end of a caption of accuracies: the accuracy of guesses."""
    return "" if chance is None else f"; chance {chance_text(chance)} %"


def chance_text(chance: float | None) -> str:
    """In percent; empty where guesses say nothing."""
    return "" if chance is None else f"{100 * chance:.1f}"


def accuracy_text(row: Row) -> str:
    """A row's accuracy in percent, with its interval and its bounds: `~60.1 (54–66) ?59.5–60.5`.

    ~ marks a Monte Carlo estimate; bounds are given where chosen answers have no known verdict.
    """
    sign = "" if row["estimator"] == "exact" else "~"
    told = "unknown" if row["accuracy"] is None else f"{sign}{100 * row['accuracy']:.1f}"
    if row["ci_low"] is not None:
        told += f" ({100 * row['ci_low']:.0f}–{100 * row['ci_high']:.0f})"
    return told + bounds_text(row)


def bounds_text(row: Row) -> str:
    """The accuracies with all unknown verdicts wrong and all right; empty where none is unknown."""
    return f" ?{100 * row['accuracy_low']:.1f}–{100 * row['accuracy_high']:.1f}" if row["unknown"] else ""
