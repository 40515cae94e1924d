"""The tables of a report: every accuracy, gains as Liu et al. 2025 define them, small against large, and cost."""

from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.tasks.analysis.flops import PRETRAINING, efficiency_gain, performance_gain
from overthink.tasks.analysis.intervals import paired_difference
from overthink.tasks.analysis.method_ids import family
from overthink.tasks.reporting.costs import COST_SQL, cost_lines, cost_rows
from overthink.tasks.reporting.html.facts import RunFacts
from overthink.tasks.reporting.html.markup import behind, paragraph, table
from overthink.tasks.reporting.majority_limits import limit_text, majority_limits, votes_sql
from overthink.tasks.reporting.results import SUMMARY_SQL, Row, accuracy_text, chance_text
from overthink.tasks.stages.identity import graders_of

ACCURACIES_SQL = """SELECT problem_id, accuracy FROM selections WHERE run_id = '{run_id}' AND method_id = '{method_id}'
AND selector = '{selector}' AND n = {n} ORDER BY problem_id"""
CHOICES_SQL = """SELECT run_id, policy, problem_set, method_id, selector, n, accuracy, flops, flops / problems AS each
FROM summary JOIN runs USING (run_id) WHERE run_id IN ({run_ids}) AND selector != 'oracle'
ORDER BY run_id, method_id, selector, n"""
UNKNOWN = "unknown"


def accuracy_table(facts: RunFacts) -> Markup:
    """Accuracy with intervals of every method, selector and budget; the run's best is highlighted."""
    budgets = sorted({row["n"] for row in facts.rows})
    lines: dict[tuple[str, str], dict[int, Row]] = {}
    for row in facts.rows:
        selector = "greedy" if row["method_id"] == "cot" else row["selector"]
        lines.setdefault((family(row["method_id"]), selector), {})[row["n"]] = row
    best = facts.best
    strong = None if best is None else (family(best["method_id"]), best["selector"])
    body = [[*name, *(accuracy(cells.get(n)) for n in budgets)] for name, cells in lines.items()]
    places = frozenset(place for place, name in enumerate(lines) if name == strong)
    header = ["method", "selector", *(f"n = {n}" for n in budgets)]
    return table(header, body, words=2, strong=places) + behind(SUMMARY_SQL.format(run_id=facts.run_id))


def limits_table(facts: RunFacts) -> Markup:
    """Where majority ends for N → ∞, for each method of independent solutions; empty where there is none."""
    found = majority_limits(facts.store, facts.run)
    if not found:
        return Markup()
    told = paragraph(
        "The mean over problems of P(the likeliest answer is right), where the probabilities of the answers seen, and "
        "of one for all unseen, are Dirichlet(1 + votes). In per cent, with the 95 % interval over problems. Unknown "
        "verdicts count as wrong; the last columns say in how many problems it depends on them, and what it is if all "
        "are right."
    )
    header = ["method", "limit", "problems", "unknown", "all of them right"]
    body = [
        [name, limit_text(limit), str(limit.problems), str(limit.unknown), f"{100 * limit.highest:.1f}"]
        for name, limit in found.items()
    ]
    heading = Markup("<h3>Majority for N → ∞</h3>\n")
    return heading + told + table(header, body) + behind(str(votes_sql(facts.store, facts.run)))


def accuracy(row: Row | None) -> str:
    """A row's accuracy in per cent with its 95 % interval, and its bounds where verdicts are unknown."""
    return "" if row is None else accuracy_text(row)


def gains_table(runs: Sequence[RunFacts]) -> Markup:
    """Gain over CoT and efficiency gain over majority voting; the best choice at each budget is taken in hindsight."""
    body = [_gains(facts) for facts in runs]
    header = ["run", "CoT", "majority at its peak", "best", "at n", "gain over CoT", "efficiency over majority"]
    if any(facts.chance is not None for facts in runs):
        header.append("chance")
        body = [[*row, chance_text(facts.chance)] for row, facts in zip(body, runs, strict=True)]
    told = paragraph(
        "Gain: (best − CoT) / CoT. Efficiency: the budget at which majority voting peaks over the budget at which the "
        "best choice is as accurate; “>” where its smallest budget already is, “<” where its largest is not. The best "
        "choice is taken in hindsight at each budget, from all methods and selectors, which raises it slightly. "
        "Where majority voting is flat, chance decides at which budget it peaks, and so the efficiency."
    )
    return told + table(header, body) + behind(_choices_sql(runs))


def _gains(facts: RunFacts) -> list[str]:
    greedy, best = facts.greedy, facts.best
    rows = [row for row in facts.known if row["method_id"] != "cot" and row["selector"] != "oracle"]
    by_budget = {n: max(row["accuracy"] for row in rows if row["n"] == n) for n in sorted({row["n"] for row in rows})}
    votes = [
        (row["n"], row["accuracy"])
        for row in rows
        if row["selector"] == "majority" and row["method_id"] == facts.independent
    ]
    gain = UNKNOWN
    if greedy is not None and best is not None and greedy["accuracy"] > 0:
        gain = f"{100 * performance_gain(best['accuracy'], greedy['accuracy']):+.1f} %"
    peak = max(votes, key=lambda point: point[1], default=None)
    return [
        facts.run_id,
        UNKNOWN if greedy is None else f"{100 * greedy['accuracy']:.1f}",
        UNKNOWN if peak is None else f"{100 * peak[1]:.1f} (n = {peak[0]})",
        UNKNOWN if best is None else f"{100 * best['accuracy']:.1f}",
        UNKNOWN if best is None else str(best["n"]),
        gain,
        str(efficiency_gain(sorted(by_budget.items()), votes)) if peak is not None and peak[1] > 0 else UNKNOWN,
    ]


def against_table(runs: Sequence[RunFacts]) -> Markup:
    """Each method's best accuracy of each run against the greedy solution of every other policy; and both costs."""
    pairs = [
        (small, large)
        for small in runs
        for large in runs
        if large.greedy is not None
        and small.run.policy != large.run.policy
        and small.run.problem_set == large.run.problem_set
    ]
    if not pairs:
        return paragraph(
            "Nothing to compare: name runs of at least two policies on the same problem set, one of them with cot, as "
            "in `overthink report SMALL LARGE --html report.html`.",
            "note",
        )
    header = [
        "policy", "method", "selector", "n", "accuracy", "against cot of", "its accuracy", "difference",
        "inference FLOPs", "with pre-training",
    ]  # fmt: skip
    body = [row for small, large in pairs for row in _against(small, large)]
    told = paragraph(
        "Difference in points over the problems that both runs hold, with its 95 % interval, paired. "
        "FLOPs: those of the other policy's greedy solution divided by those of the row's method (above 1× the row is "
        "cheaper), inference of policy and PRM, and with the policies' pre-training (6·N·D) where its tokens are "
        "known. Selectors and budgets are the best in hindsight."
    )
    return told + _graders_note(runs) + table(header, body, words=3) + behind(_choices_sql(runs))


def _graders_note(runs: Sequence[RunFacts]) -> Markup:
    """A warning where the runs' graders differ; empty where they do not."""
    graders = {
        graders_of(facts.store, (use for use in facts.run.stages if use.kind in (StageKind.GRADE, StageKind.SELECT)))
        for facts in runs
    }
    if len(graders) == 1:
        return Markup()
    return paragraph(
        "These runs were graded by different versions of the grader, which may explain a part of the differences. "
        "`overthink compare` judges two runs by one grader; running the recipe of an older run again regrades it, "
        "without an engine.",
        "note",
    )


def _against(small: RunFacts, large: RunFacts) -> Iterator[list[str]]:
    greedy = large.greedy
    assert greedy is not None, "pairs are made with runs that have cot"
    for name in small.families:
        rows = [row for row in small.known if family(row["method_id"]) == name and row["selector"] != "oracle"]
        if not rows:
            continue
        best = max(rows, key=lambda row: (row["accuracy"], -row["n"]))
        inference = _ratio(_inference(greedy), _inference(best))
        whole = _ratio(_with_pretraining(large, greedy), _with_pretraining(small, best))
        yield [
            str(small.run.policy),
            name,
            str(best["selector"]),
            str(best["n"]),
            f"{100 * best['accuracy']:.1f}",
            str(large.run.policy),
            f"{100 * greedy['accuracy']:.1f}",
            _difference(small, best, large, greedy),
            inference,
            whole,
        ]


def _difference(small: RunFacts, best: Row, large: RunFacts, greedy: Row) -> str:
    ours, theirs = _accuracies(small, best), _accuracies(large, greedy)
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return UNKNOWN
    first, second = (np.array([each[problem] for problem in common]) for each in (ours, theirs))
    difference = paired_difference(first, second)
    told = f"{100 * difference.accuracy:+.1f}"
    if difference.interval is not None:
        low, high = difference.interval
        told += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return told


def _accuracies(facts: RunFacts, row: Row) -> dict[str, float]:
    sql = ACCURACIES_SQL.format(**row)
    rows = query(facts.store, sql).to_pylist()
    return {found["problem_id"]: found["accuracy"] for found in rows if found["accuracy"] is not None}


def _choices_sql(runs: Sequence[RunFacts]) -> str:
    return CHOICES_SQL.format(run_ids=", ".join(f"'{facts.run_id}'" for facts in runs))


def _inference(row: Row) -> float | None:
    """Inference FLOPs per problem; None where unknown, or where no call was recorded."""
    return row["flops"] / row["problems"] if row["flops"] else None


def _with_pretraining(facts: RunFacts, row: Row) -> float | None:
    """Inference FLOPs over all problems plus the policy's pre-training, which is paid once."""
    name = str(facts.run.policy).split("/")[-1].removesuffix("-Instruct")
    known = PRETRAINING.get(name)
    return None if known is None or not row["flops"] else known.flops + row["flops"]


def _ratio(large: float | None, small: float | None) -> str:
    return UNKNOWN if large is None or small is None else f"{large / small:.3g}×"


def cost_section(facts: RunFacts) -> Markup:
    """A run's costs, by method and in all."""
    try:
        rows = cost_rows(facts.store, facts.run_id)
    except StorageError:
        return paragraph("No engine calls are recorded for this run, so what it cost is unknown.", "note")
    shown = cost_lines(rows).items()
    body = [[label.strip(), *(_cost(row[name], shape) for row in rows)] for name, (label, shape) in shown]
    told = paragraph("Engine seconds: a model was at work; loading and pauses are left out.")
    return told + table(["", *(row["method_id"] for row in rows)], body) + behind(COST_SQL.format(run_id=facts.run_id))


def _cost(value: float | None, shape: str) -> str:
    return UNKNOWN if value is None else format(value, shape)
