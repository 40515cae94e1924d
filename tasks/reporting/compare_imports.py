"""Our choices against those that another tool reported for the same rollouts: which are equal, why others differ."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from overthink.storage.sql import query
from overthink.storage.store import Store
from overthink.tasks.domains.domain import Judge
from overthink.tasks.recipes.grading import grader_of
from overthink.tasks.records import Problem
from overthink.tasks.stages.graded import on_all_cores
from overthink.tasks.terminal_text import printable

CHOICES_SQL = """
SELECT r.problem_id, r.selector, r.n, s.answer AS ours, r.answer AS theirs, s.correct AS our_verdict,
       r.correct AS their_verdict
FROM reported r JOIN selections s USING (run_id, method_id, problem_id, selector, n)
WHERE r.run_id = '{run_id}' AND r.measure = 'choice' ORDER BY r.selector, r.n, r.problem_id"""

ANSWERS_SQL = """
SELECT problem_id, list(answer ORDER BY sample_index) AS answers
FROM rollouts WHERE run_id = '{run_id}' GROUP BY problem_id"""

# Our selectors' accuracy by the other tool's labels of single rollouts.
LABELLED_SQL = """
WITH labelled AS (
    SELECT r.problem_id, r.answer, arg_min(l.correct, r.sample_index) AS label
    FROM rollouts r JOIN reported l USING (run_id, method_id, problem_id, sample_index)
    WHERE r.run_id = '{run_id}' AND l.measure = 'answer' AND l.correct IS NOT NULL GROUP BY ALL)
SELECT s.selector, s.n, avg(CASE WHEN s.answer IS NULL THEN 0 ELSE l.label::INT END) AS accuracy,
       count(*) FILTER (s.answer IS NOT NULL AND l.label IS NULL) AS unknown
FROM selections s LEFT JOIN labelled l ON l.problem_id = s.problem_id AND l.answer = s.answer
WHERE s.run_id = '{run_id}' GROUP BY ALL"""

Reason = Literal["extraction", "grouping", "verdict"]
REASONS: dict[Reason, str] = {
    "extraction": "their answer equals none that we extract from these rollouts: extracted or written differently",
    "grouping": "we extract both answers; the votes group different answers as equal",
    "verdict": "the same answer, but only one grader calls it right",
}


@dataclass(frozen=True)
class Comparison:
    """One of our choices against theirs. `reason` is None where they agree.

    Answers are equal where they differ only in blanks, or are mathematically equal; `equal` is None where their answer
    is unknown, or the comparison exceeds its limits.
    """

    problem_id: str
    selector: str
    n: int
    ours: str | None
    theirs: str | None
    our_verdict: bool | None
    their_verdict: bool | None
    equal: bool | None
    reason: Reason | None


def compare_run(store: Store, run_id: str) -> list[Comparison]:
    """Every reported choice for a run's rollouts against ours. Raises UserError where its domain is not installed."""
    rows = query(store, CHOICES_SQL.format(run_id=run_id)).to_pylist()
    answers = {row["problem_id"]: row["answers"] for row in query(store, ANSWERS_SQL.format(run_id=run_id)).to_pylist()}
    with grader_of(store.find_run(run_id).recipe).judge() as judge:
        return on_all_cores(lambda row: _compared(row, answers.get(row["problem_id"], [])[: row["n"]], judge), rows)


def _compared(row: Mapping[str, Any], answers: Sequence[str | None], judge: Judge) -> Comparison:
    equal = None if row["theirs"] is None else _equal([row["ours"]], row["theirs"], judge)[0]
    reason: Reason | None = None
    if equal is False:
        reason = "grouping" if True in _equal(answers, row["theirs"], judge) else "extraction"
    elif None not in (row["our_verdict"], row["their_verdict"]) and row["our_verdict"] != row["their_verdict"]:
        reason = "verdict"
    return Comparison(**row, equal=equal, reason=reason)


def _equal(ours: Sequence[str | None], theirs: str, judge: Judge) -> list[bool | None]:
    """Whether each of our answers equals theirs; None where undecided."""
    asked = [answer for answer in ours if answer and theirs and _squeezed(answer) != _squeezed(theirs)]
    verdicts = {"equal": True, "different": False, "unknown": None, None: None}
    judged = judge.grade(Problem("", "", "", reference=theirs), asked)
    told = {answer: verdicts[one.verdict] for answer, one in zip(asked, judged, strict=True)}
    return [
        told[answer] if answer in told else _squeezed(answer or "") == _squeezed(theirs) for answer in ours
    ]  # an empty answer counts as none


def _squeezed(answer: str) -> str:
    return "".join(answer.split())


def totals_table(store: Store, run_id: str, compared: Iterable[Comparison]) -> Table:
    """For each selector and budget: equal choices, our accuracy by our verdicts and by their labels, and theirs."""
    labels = {
        (row["selector"], row["n"]): None if row["unknown"] else row["accuracy"]
        for row in query(store, LABELLED_SQL.format(run_id=run_id)).to_pylist()
    }
    groups: dict[tuple[str, int], list[Comparison]] = defaultdict(list)
    for one in compared:
        groups[one.selector, one.n].append(one)
    table = Table("selector", "n", "problems", "equal answers", "our accuracy", "ours by their labels", "theirs")
    for (selector, n), group in groups.items():
        known = [one for one in group if one.equal is not None]
        equal = f"{sum(bool(one.equal) for one in known)} of {len(known)}"
        ours, theirs = _mean(one.our_verdict for one in group), _mean(one.their_verdict for one in group)
        table.add_row(selector, str(n), str(len(group)), equal, ours, _share(labels[selector, n]), theirs)
    return table


def _mean(verdicts: Iterable[bool | None]) -> str:
    values = list(verdicts)
    return "" if None in values else _share(sum(map(bool, values)) / len(values))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0")


def differences_table(compared: Iterable[Comparison]) -> Table:
    """Every choice that differs in answer or verdict, with the reason."""
    table = Table("problem", "selector", "n")
    for header in ("ours", "theirs"):
        table.add_column(header, overflow="fold")
    for header in ("ours right", "theirs right", "reason"):
        table.add_column(header)
    for one in compared:
        if one.reason is not None:
            verdicts = ("" if verdict is None else str(verdict) for verdict in (one.our_verdict, one.their_verdict))
            answers = (Text(printable(one.ours or "")), Text(printable(one.theirs or "")))
            table.add_row(one.problem_id, one.selector, str(one.n), *answers, *verdicts, one.reason)
    return table
