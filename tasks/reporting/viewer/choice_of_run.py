"""Whose choices a page shows: a method of the run, a selector, and among how many rollouts it chose."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from overthink.storage.stage_kinds import MAKE_ROLLOUTS, StageKind
from overthink.storage.store import Run
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Row
from overthink.tasks.reporting.viewer.states import ListState

ACCURACIES_SQL = f"""SELECT u.run_id, u.method_id, e.selector, e.n, e.problems, e.accuracy, e.ci_low, e.ci_high
FROM parts_estimates e JOIN stage_uses u ON u.kind = '{StageKind.SELECT}' AND u.stage_key = e.stage_key"""
Known = TypeVar("Known", int, str)
BOUND = "oracle"  # a bound, not a choice that anyone could make


@dataclass(frozen=True)
class RunChoice:
    """A method, a selector and n, with the others that could be chosen; no selector and n where nothing was chosen."""

    method: str
    selector: str | None
    n: int | None
    methods: Sequence[str]
    selectors: Sequence[str]
    budgets: Sequence[int]
    accuracy: float | None


def choice_of(reading: OpenReading, run: Run, state: ListState) -> RunChoice:
    """What a state says; else the method with the most rollouts, at its largest n by its most accurate selector.

    Raises UserError for a method that the run does not have.
    """
    methods = methods_of(run)
    if not methods:
        raise UserError(f"run {run.run_id} has no rollouts: it measured or trained a PRM")
    if state.method not in (None, *methods):
        raise UserError(f"run {run.run_id} has no method {state.method}: it has {', '.join(methods)}")
    method = state.method or str(own_method(run))
    rows = [row for row in reading.rows(ACCURACIES_SQL) if (row["run_id"], row["method_id"]) == (run.run_id, method)]
    if not rows:
        return RunChoice(method, None, None, list(methods), (), (), None)
    budgets = sorted({row["n"] for row in rows})
    n = _if_known(state.n, budgets, budgets[-1])
    at_n = {row["selector"]: row for row in rows if row["n"] == n}
    best = best_of(list(at_n.values())) or next(iter(at_n.values()))
    selector = _if_known(state.selector, at_n, str(best["selector"]))
    return RunChoice(method, selector, n, list(methods), list(at_n), budgets, at_n[selector]["accuracy"])


def methods_of(run: Run) -> dict[str, int]:
    """The methods of a run, each with its number of rollouts a problem; 0 where that is not fixed."""
    uses = [use for use in run.stages if use.method_id is not None and use.kind in MAKE_ROLLOUTS]
    methods: dict[str, int] = {}
    for use in uses:
        methods[str(use.method_id)] = max(use.n or 0, methods.get(str(use.method_id), 0))
    return methods


def own_method(run: Run) -> str | None:
    """The method of a run that pages show where none is named: that with the most rollouts; None where it has none."""
    methods = methods_of(run)
    return max(methods, key=lambda name: methods[name], default=None)


def best_of(rows: Sequence[Row]) -> Row | None:
    """The most accurate of some choices, of equal ones that with the smallest n; None where no accuracy is known."""
    known = [row for row in rows if row["accuracy"] is not None and row["selector"] != BOUND]
    return max(known, key=lambda row: (row["accuracy"], -row["n"]), default=None)


def _if_known(wanted: Known | None, known: Collection[Known], default: Known) -> Known:
    """What is wanted; where another method was chosen that has no such thing, the default."""
    return wanted if wanted is not None and wanted in known else default
