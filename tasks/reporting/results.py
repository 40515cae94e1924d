"""A run's result, read from the store by SQL, as rows, as a terminal table and as markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Store
from overthink.tasks.analysis.estimators import SUBSETS
from overthink.tasks.analysis.method_ids import NAME_SQL, method_name
from overthink.tasks.analysis.selectors import SelectorName, places, signal_of
from overthink.tasks.analysis.signals import why_unknown
from overthink.tasks.counted import counted

NO_ANSWER = "none of its rollouts holds an answer"
CAPTION = "accuracy in % with its 95 % interval over problems"
SUMMARY_SQL = "SELECT * FROM summary WHERE run_id = '{run_id}' ORDER BY method_id, selector, n"
UNKNOWN_SQL = """SELECT count(*) AS unknown FROM rollouts JOIN verdicts USING (run_id, method_id, rollout_id)
WHERE run_id = '{run_id}' AND correct IS NULL AND reference IS NOT NULL"""

# An anti join: with a subquery that names the rollout, 3.2 M rollouts took 6.7 GiB instead of 1.
OVERLONG_SQL = """SELECT count(*) AS overlong
FROM (SELECT rollout_id FROM rollouts WHERE run_id = '{run_id}' AND step_count > 0)
ANTI JOIN (SELECT rollout_id FROM scores WHERE prm = (SELECT prm FROM runs WHERE run_id = '{run_id}'))
    USING (rollout_id)"""

REPORTED_SQL = "SELECT count(*) AS choices FROM reported WHERE run_id = '{run_id}' AND measure = 'choice'"
CHOSEN_SQL = "SELECT DISTINCT method_id, selector FROM selections WHERE run_id = '{run_id}'"

# Subsets are drawn for each problem, and are right with probability `accuracy`: the errors are binomial.
MONTE_CARLO_SQL = f"""SELECT max(error) AS error FROM (
    SELECT sqrt(sum(accuracy * (1 - accuracy)) / {SUBSETS}) / count(accuracy) AS error
    FROM selections WHERE run_id = '{{run_id}}' AND estimator = 'monte_carlo' GROUP BY method_id, selector, n)"""

CHANCE_SQL = """SELECT avg(chance) AS chance FROM problems JOIN runs USING (problem_set) WHERE run_id = '{run_id}'"""

ANSWERED_SQL = """SELECT method_id, count(answer) AS answered FROM rollouts WHERE run_id = '{run_id}' GROUP BY 1"""

UNREFERENCED_SQL = """SELECT count(*) FILTER (reference IS NULL) AS without, count(*) AS whole
FROM problems JOIN runs USING (problem_set) WHERE run_id = '{run_id}'"""

DRAWN_SQL = f"""SELECT method_id, count(*) AS drawn, any_value(s.n) * count(DISTINCT problem_id) AS budget
FROM rollouts JOIN (SELECT DISTINCT run_id, method_id, n FROM summary) s USING (run_id, method_id)
WHERE run_id = '{{run_id}}' AND {NAME_SQL} = 'adaptive' GROUP BY ALL ORDER BY ALL"""


# What drawing all to the end would have written: the first rollouts were, so their mean length is that of all.
SAVED_SQL = """SELECT sum(spent)::BIGINT AS spent, sum(mean) * {n} AS whole
FROM (SELECT problem_id, sum(output_tokens) AS spent FROM calls
      WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND kind = 'generate' GROUP BY ALL)
JOIN (SELECT problem_id, avg(completion_tokens) AS mean FROM rollouts
      WHERE run_id = '{run_id}' AND method_id = '{method_id}' AND sample_index < {warm_up} GROUP BY ALL)
USING (problem_id)"""


def summary_rows(store: Store, run_id: str) -> list[dict[str, Any]]:
    """A run's rows of `summary`: methods in the recipe's order, selectors from majority to oracle, n ascending."""
    methods = list(dict.fromkeys(use.method_id for use in store.find_run(run_id).stages))
    rows = query(store, SUMMARY_SQL.format(run_id=run_id)).to_pylist()
    place = places(row["selector"] for row in rows)
    return sorted(rows, key=lambda row: (methods.index(row["method_id"]), place[row["selector"]], row["n"]))


def unknown_grades(store: Store, run_id: str) -> int:
    """How many rollouts have an answer whose verdict is unknown."""
    return int(query(store, UNKNOWN_SQL.format(run_id=run_id)).to_pylist()[0]["unknown"])


def overlong_rollouts(store: Store, run_id: str) -> int:
    """How many rollouts have no scores because they are longer than the PRM reads."""
    return int(query(store, OVERLONG_SQL.format(run_id=run_id)).to_pylist()[0]["overlong"])


def reported_choices(store: Store, run_id: str) -> int:
    """How many choices of another tool came with an import, to be compared with ours."""
    return int(query(store, REPORTED_SQL.format(run_id=run_id)).to_pylist()[0]["choices"])


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


def samples_saved(store: Store, run_id: str) -> list[str]:
    """For each adaptive method, the share of its budget that it drew."""
    if not any(method_name(use.method_id) == "adaptive" for use in store.find_run(run_id).stages if use.method_id):
        return []
    rows = query(store, DRAWN_SQL.format(run_id=run_id)).to_pylist()
    return [
        f"{row['method_id']} drew {row['drawn']:,} of {row['budget']:,} samples: "
        f"{100 * (1 - row['drawn'] / row['budget']):.0f} % saved"
        for row in rows
    ]


def tokens_saved(store: Store, run_id: str) -> list[str]:
    """For each method that ends rollouts early, the tokens written of those to expect without that."""
    told = []
    for use in store.find_run(run_id).stages:
        method = store.stage(use.key).identity().get("method", {}) if use.kind == StageKind.SAMPLE else {}
        if method.get("method") == "deepconf":
            names = {"run_id": run_id, "method_id": use.method_id, "n": method["n"], "warm_up": method["warm_up"]}
            (row,) = query(store, SAVED_SQL.format(**names)).to_pylist()
            share = 100 * (1 - row["spent"] / row["whole"])
            told.append(
                f"{use.method_id} wrote {row['spent']:,} of about {row['whole']:,.0f} tokens: {share:.0f} % saved"
            )
    return told


def absent_selectors(store: Store, run_id: str) -> list[str]:
    """A line for each reason why selectors of a run chose nothing: not all of a method's rollouts have their signal."""
    chosen = {(row["method_id"], row["selector"]) for row in query(store, CHOSEN_SQL.format(run_id=run_id)).to_pylist()}
    counts = query(store, ANSWERED_SQL.format(run_id=run_id)).to_pylist()
    answered = {row["method_id"]: row["answered"] for row in counts}
    absent: dict[tuple[str | None, str], list[str]] = {}
    for use in store.find_run(run_id).stages:
        listed = store.stage(use.key).identity().get("selectors", ()) if use.kind == StageKind.SELECT else ()
        for name in listed:
            if (use.method_id, name) not in chosen:
                why = f"not all its rollouts hold {_wanted(name)}" if answered.get(use.method_id) else NO_ANSWER
                absent.setdefault((use.method_id, why), []).append(name)
    return [f"{method_id}: no choice by {', '.join(names)}: {wanted}" for (method_id, wanted), names in absent.items()]


def without_reference(store: Store, run_id: str) -> list[str]:
    """A line on the problems that no accuracy counts because they have no reference; none where all or none have."""
    (row,) = query(store, UNREFERENCED_SQL.format(run_id=run_id)).to_pylist()
    if row["without"] in (0, row["whole"]):
        return []
    return [f"{row['without']} of {row['whole']} problems have no reference: accuracies are of the others"]


def _wanted(selector: SelectorName) -> str:
    try:
        signal = signal_of(selector)
    except ValueError:  # a finished run is reported without the packages that it used
        signal = None
    return "the number that it reads" if signal is None else why_unknown(signal)


def accuracy_text(row: Mapping[str, Any]) -> str:
    """A row's accuracy in percent, with its interval and its bounds: `~60.1 (54–66) ?59.5–60.5`.

    ~ marks a Monte Carlo estimate; bounds are given where chosen answers have no known verdict.
    """
    sign = "" if row["estimator"] == "exact" else "~"
    told = "unknown" if row["accuracy"] is None else f"{sign}{100 * row['accuracy']:.1f}"
    if row["ci_low"] is not None:
        told += f" ({100 * row['ci_low']:.0f}–{100 * row['ci_high']:.0f})"
    return told + bounds_text(row)


def bounds_text(row: Mapping[str, Any]) -> str:
    """The accuracies with all unknown verdicts wrong and all right; empty where none is unknown."""
    return f" ?{100 * row['accuracy_low']:.1f}–{100 * row['accuracy_high']:.1f}" if row["unknown"] else ""


def unknown_line(store: Store, run_id: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A line on the rollouts without a verdict and their effect on the figures in `rows`; None where all have one."""
    count = unknown_grades(store, run_id)
    if not count:
        return None
    most = max((row["unknown"] or 0.0 for row in rows), default=0.0)
    return (
        f"The verdict on {counted(count, 'rollout')} is unknown; `detail` in the table grades says why. "
        f"Up to {100 * most:.1f} % of the chosen answers are among them. Accuracies are of the others; "
        "? gives those with all unknown verdicts wrong and with all right."
    )


def _grid(rows: Sequence[dict[str, Any]]) -> tuple[list[int], dict[tuple[str, str], dict[int, str]]]:
    """The budgets, and for each (method, selector) the accuracy at each budget."""
    budgets = sorted({row["n"] for row in rows})
    lines: dict[tuple[str, str], dict[int, str]] = {}
    for row in rows:
        # Every selector chooses cot's only rollout: one line is enough.
        selector = "greedy" if row["method_id"] == "cot" else row["selector"]
        lines.setdefault((row["method_id"], selector), {})[row["n"]] = accuracy_text(row)
    return budgets, lines


def result_table(rows: Sequence[dict[str, Any]], title: str, note: str) -> Table:
    """Accuracy in percent with 95 % intervals, one line per method and selector, one column per budget.

    `note` is appended to the caption; see `accuracy_notes`.
    """
    budgets, lines = _grid(rows)
    table = Table(title=title, caption=f"{CAPTION}{note}")
    table.add_column("method")
    table.add_column("selector", no_wrap=True)
    for n in budgets:
        table.add_column(f"n = {n}", justify="right", no_wrap=True)
    for (method_id, selector), cells in lines.items():
        table.add_row(method_id, selector, *(cells.get(n, "") for n in budgets))
    return table


def result_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The result table in markdown."""
    budgets, lines = _grid(rows)
    header = ["method", "selector", *(f"n = {n}" for n in budgets)]
    body = [[method, selector, *(cells.get(n, "") for n in budgets)] for (method, selector), cells in lines.items()]
    rule = ["---", "---", *("--:" for _ in budgets)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *body))
