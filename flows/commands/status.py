"""`overthink status`: the runs and the sweeps of a store, and how far those are that are being made."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from rich.table import Column, Table

from overthink.flows.commands.options import DEFAULT_STORE, StoreOption, existing
from overthink.flows.commands.terminal import console, plain_errors, print_whole, unfolded

if TYPE_CHECKING:
    from overthink.storage.store import Run, Store


def status(store: StoreOption = DEFAULT_STORE) -> None:
    """List the runs of a store, the sweeps they belong to, and how far those are that are being made."""
    with plain_errors():
        opened = existing(store)
        if not opened.runs():
            console().print(f"{opened.address} holds no run yet: make one with `overthink run`", soft_wrap=True)
            return
        runs = {stored.run_id: stored for stored in opened.runs()}
        states = {run_id: status_of(opened, stored) for run_id, stored in runs.items()}
        longest = max((len(run_id) for run_id in runs), default=0)
        names = Column("run", min_width=longest)  # an id that is cut short cannot be copied
        table = Table(names, "status", "policy", "PRM", "problem set", "methods", "started", "finished")
        for run_id, stored in runs.items():
            engines = (stored.policy or "", (stored.prm or "").split("@")[0])
            methods = in_short(use.method_id for use in stored.stages if use.method_id)
            times = (_minute(stored.created_at), _minute(stored.finished_at or ""))
            table.add_row(run_id, states[run_id], *engines, stored.problem_set, methods, *times)
        print_whole(table) if console().is_terminal else unfolded(table).print(table)
        sweeps = opened.sweeps()
        if sweeps:
            table = Table("sweep", "runs")
            for sweep in sweeps:
                counts = Counter(states.get(run_id, "not begun") for run_id in sweep.run_ids)
                table.add_row(sweep.sweep_id, ", ".join(f"{count} {state}" for state, count in counts.items()))
            console().print(table)
        members = {run_id: (run_id,) for run_id in states} | {sweep.sweep_id: sweep.run_ids for sweep in sweeps}
        for name, run_ids in members.items():
            _print_live(opened, name, {states.get(run_id, "") for run_id in run_ids})


def _print_live(store: "Store", name: str, states: Collection[str]) -> None:
    """Print how far a run or a sweep is whose runs have these states; nothing of one that has ended."""
    from overthink.tasks.stages.live_view import live_lines

    if {"running", "interrupted"} & set(states):
        lines = live_lines(store.reports(name).read(), "running" in states, time.time())
        for number, line in enumerate(lines):
            console().print(f"  {line}" if number else f"{name}: {line}", soft_wrap=True, highlight=False)


def status_of(store: "Store", stored: "Run") -> str:
    """A run's status; a run with status running that no process holds is interrupted."""
    if stored.status != "running":
        return stored.status
    return "running" if store.is_being_written(stored.run_id) else "interrupted"


def in_short(method_ids: Iterable[str]) -> str:
    """Methods by name, several sizes of one combined: `cot, best_of_n-n64, dvts × 5`."""
    from overthink.tasks.analysis.method_ids import method_name

    families: dict[str, dict[str, None]] = defaultdict(dict)
    for method_id in method_ids:
        families[method_name(method_id)][method_id] = None
    return ", ".join(next(iter(ids)) if len(ids) == 1 else f"{name} × {len(ids)}" for name, ids in families.items())


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
