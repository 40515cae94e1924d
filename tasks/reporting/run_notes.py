"""What is to be said about a run beside its table: a line a fact, read from the store by SQL."""

from collections.abc import Sequence

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.method_ids import NAME_SQL, method_name
from overthink.tasks.analysis.selectors import SelectorName, signal_of
from overthink.tasks.analysis.signals import why_unknown
from overthink.tasks.counted import counted
from overthink.tasks.reporting.costs import program_lines
from overthink.tasks.reporting.results import Row, accuracy_text, best_row
from overthink.tasks.reporting.solve_tables import spending_lines
from overthink.tasks.reporting.thinking_lines import thinking_lines

NO_ANSWER = "none of its rollouts holds an answer"
UNKNOWN_SQL = """SELECT count(*) AS unknown FROM rollouts JOIN verdicts USING (run_id, method_id, rollout_id)
WHERE run_id = '{run_id}' AND correct IS NULL AND reference IS NOT NULL"""

# An anti join: with a subquery that names the rollout, 3.2 M rollouts took 6.7 GiB instead of 1.
UNSCORED_SQL = """WITH of_run AS (SELECT prm FROM runs WHERE run_id = '{run_id}'),
judged AS (SELECT DISTINCT rollout_id, true AS is_judged FROM critiques WHERE prm = (FROM of_run))
SELECT count(*) FILTER (is_judged IS NULL) AS overlong, count(is_judged) AS undecided
FROM (SELECT rollout_id FROM rollouts WHERE run_id = '{run_id}' AND step_count > 0)
ANTI JOIN (SELECT rollout_id FROM scores WHERE prm = (FROM of_run)) USING (rollout_id)
LEFT JOIN judged USING (rollout_id)"""

REPORTED_SQL = "SELECT count(*) AS choices FROM reported WHERE run_id = '{run_id}' AND measure = 'choice'"
CHOSEN_SQL = "SELECT DISTINCT method_id, selector FROM selections WHERE run_id = '{run_id}'"

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


def run_notes(store: Store, run: Run, rows: Sequence[Row]) -> list[str]:
    """The lines on a run, whose rows of `summary` are `rows`, below those on its choices."""
    told = without_reference, samples_saved, tokens_saved, thinking_lines, absent_selectors, program_lines
    return [
        *(line for tell in told for line in tell(store, run.run_id)),
        *spending_lines(store, run),
        *unknown_line(store, run.run_id, rows),
        *unscored_lines(store, run),
    ]


def best_line(rows: Sequence[Row]) -> list[str]:
    """The most accurate choice with its interval; none where no accuracy is known."""
    best = best_row(rows)
    if best is None:
        return []
    if best["accuracy"] == 0:
        return ["no choice is right on any problem, whatever the selector and n"]
    how = f"{best['method_id']} by {best['selector']}, n = {best['n']}"
    return [f"most accurate, in hindsight: {accuracy_text(best)} % of {how}"]


def unknown_grades(store: Store, run_id: str) -> int:
    """How many rollouts have an answer whose verdict is unknown."""
    return int(query(store, UNKNOWN_SQL.format(run_id=run_id)).to_pylist()[0]["unknown"])


def unscored_lines(store: Store, run: Run) -> list[str]:
    """A line on the rollouts without scores for each reason: longer than the PRM reads, or without its verdict."""
    kinds = {use.kind for use in run.stages}
    if run.prm is None or not kinds & {StageKind.SCORE, StageKind.SEARCH}:
        return []
    (found,) = query(store, UNSCORED_SQL.format(run_id=run.run_id)).to_pylist()
    reasons = {
        "overlong": ("rollout is longer than the PRM reads", "rollouts are longer than the PRM reads"),
        "undecided": (
            "rollout has a step without any critique that came to a verdict",
            "rollouts have a step without any critique that came to a verdict",
        ),
    }
    return [
        f"{found[name]:,} {one if found[name] == 1 else more}: without scores, prm_ selectors do not choose it."
        for name, (one, more) in reasons.items()
        if found[name]
    ]


def reported_choices(store: Store, run_id: str) -> int:
    """How many choices of another tool came with an import, to be compared with ours."""
    return int(query(store, REPORTED_SQL.format(run_id=run_id)).to_pylist()[0]["choices"])


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


def unknown_line(store: Store, run_id: str, rows: Sequence[Row]) -> list[str]:
    """A line on the rollouts without a verdict and their effect on the figures in `rows`; none where all have one."""
    count = unknown_grades(store, run_id)
    if not count:
        return []
    most = max((row["unknown"] or 0.0 for row in rows), default=0.0)
    return [
        f"The verdict on {counted(count, 'rollout')} is unknown; `detail` in the table grades says why. "
        f"Up to {100 * most:.1f} % of the chosen answers are among them. Accuracies are of the others; "
        "? gives those with all unknown verdicts wrong and with all right."
    ]
