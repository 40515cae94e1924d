"""The regression gate: is a run significantly less accurate than the one before it?"""

from collections.abc import Mapping
from dataclasses import dataclass

from overthink.storage.sql import query
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.errors import Regression, UserError
from overthink.tasks.recipes.recipe import GateConfig
from overthink.tasks.reporting.compare_runs import Difference, difference_of
from overthink.tasks.reporting.compare_tables import difference_text, regraded_text
from overthink.tasks.reporting.paired_runs import PairedRuns

LAST = "last"
FALSE_ALARMS = 0.05  # two-sided, over all methods; the gate uses only the lower tail
UNKNOWN_SQL = """
SELECT method_id, arg_max(unknown, n) AS unknown FROM (
    SELECT method_id, n, avg(coalesce(unknown, (correct IS NULL)::INT)) AS unknown FROM selections
    WHERE run_id = '{run_id}' AND selector = '{selector}' AND coalesce(accuracy_low, accuracy) IS NOT NULL
    GROUP BY ALL) GROUP BY ALL"""


@dataclass(frozen=True)
class Verdict:
    """The gate's result: one difference per method. `against` is None where there is no earlier run.

    `regraded` names the runs that were graded again because the graders differ.
    """

    run_id: str
    against: str | None
    confidence: float
    differences: tuple[Difference, ...]
    regraded: tuple[str, ...] = ()

    @property
    def fallen(self) -> tuple[Difference, ...]:
        """The differences whose whole interval is below zero."""
        return tuple(one for one in self.differences if one.ci_high is not None and one.ci_high < 0)

    @property
    def message(self) -> str:
        """The verdict in words."""
        if self.against is None:
            return f"{self.run_id}: no complete run of this name before it, so there is nothing to compare with yet"
        anew = f" ({regraded_text(self.regraded)})" if self.regraded else ""
        if not self.fallen:
            return f"{self.run_id} holds against {self.against}{anew}"
        falls = "; ".join(f"{one.method_id} {one.selector}, n = {one.n}: {difference_text(one)}" for one in self.fallen)
        return f"{self.run_id} is less accurate than {self.against}, in percentage points: {falls}{anew}"


def judge(store: Store, run: Run, gate: GateConfig) -> Verdict:
    """Compare a run with an earlier one: each method at its largest n, by the gate's selector.

    Intervals are widened for the number of methods (Bonferroni). Raises UserError where the two runs share no such
    choice, or fewer than two problems, or too many verdicts are unknown; StorageError where they cannot be graded by
    one grader.
    """
    _check_known(run.run_id, _unknown_shares(store, run, gate.selector), gate)
    against = earlier_run(store, run, gate.against)
    if against is None:
        return Verdict(run.run_id, None, 1 - FALSE_ALARMS, ())
    looks = {}
    paired = PairedRuns(store, against, run)
    for (method_id, selector, n), rows in paired.choices():
        if selector == gate.selector:
            looks[method_id] = (n, rows)  # n ascends, so the largest remains
    if any(len(rows) < 2 for _, rows in looks.values()) or not looks:
        raise UserError(
            f"{run.run_id} cannot be compared with {against.run_id}: they share no choice by {gate.selector} on two "
            "problems or more; name another selector or run"
        )
    confidence = 1 - FALSE_ALARMS / len(looks)
    differences = tuple(difference_of(rows, confidence) for _, rows in looks.values())
    _check_known(against.run_id, {one.method_id: one.unknown_before for one in differences}, gate)
    _check_known(run.run_id, {one.method_id: one.unknown_after for one in differences}, gate)
    return Verdict(run.run_id, against.run_id, confidence, differences, paired.regraded)


def _unknown_shares(store: Store, run: Run, selector: str) -> dict[str, float]:
    """The share of a run's choices without a known verdict, by method, at its largest n."""
    rows = query(store, UNKNOWN_SQL.format(run_id=run.run_id, selector=selector)).to_pylist()
    return {row["method_id"]: row["unknown"] for row in rows}


def _check_known(run_id: str, unknown: Mapping[str, float], gate: GateConfig) -> None:
    most = max(unknown, key=lambda method_id: unknown[method_id], default=None)
    if most is not None and unknown[most] > gate.max_unknown:
        raise UserError(
            f"{run_id} cannot be judged: the verdict on {100 * unknown[most]:.1f} % of the choices of {most} by "
            f"{gate.selector} is unknown, more than gate.max_unknown = {100 * gate.max_unknown:g} %; raise "
            "grading.time_limit_seconds and run the recipe again, or raise gate.max_unknown"
        )


def earlier_run(store: Store, run: Run, against: str) -> Run | None:
    """The named run, or the latest earlier complete run of the same name; None where there is none.

    Raises UserError where the named run is missing, incomplete, or the run itself.
    """
    if against == LAST:
        earlier = [one for one in store.runs() if one.name == run.name and one.created_at < run.created_at]
        complete = [one for one in earlier if one.status == "complete" and has_choices(one)]
        return complete[-1] if complete else None
    found = _named(store, against)
    if found.run_id == run.run_id:
        raise UserError(f"{found.run_id} is the run itself: compare it with another one")
    return found


def check_gate(store: Store, gate: GateConfig) -> None:
    """Raise UserError, before any engine is loaded, where a gate names a run that is missing or incomplete."""
    if gate.against != LAST:
        _named(store, gate.against)


def _named(store: Store, name: str) -> Run:
    try:
        found = store.find_run(name)
    except StorageError as error:
        raise UserError(f"gate: {error}") from error
    if found.status != "complete":
        raise UserError(f"gate: {found.run_id} is not complete: name another run")
    return found


def has_choices(run: Run) -> bool:
    """Whether a run has selections, and so an accuracy."""
    return any(use.kind == StageKind.SELECT for use in run.stages)


def raise_fallen(verdict: Verdict) -> None:
    """Raise Regression where any accuracy has fallen."""
    if verdict.fallen:
        raise Regression(verdict.message)
