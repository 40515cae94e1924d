"""How far a run is that is being made, for the pages that show it."""

import time
from dataclasses import dataclass

from overthink.storage.store import Run, Store
from overthink.tasks.stages.live_view import done, live_lines, view_of


@dataclass(frozen=True)
class LiveRun:
    """What is known, a line each fact; the share of its stage that is done, None where unknown; is it being made?"""

    lines: list[str]
    share: float | None
    is_running: bool


def live_run(store: Store, run: Run) -> LiveRun | None:
    """How far a run is, or was when it was stopped; None of one that has ended, or of which nothing is known."""
    if run.status != "running":
        return None
    reports, now = store.reports(run.run_id).read(), time.time()
    view, is_held = view_of(reports, now), store.is_being_written(run.run_id)
    if view is None:
        return None
    share = None if view.stage is None or not view.stage.problems else done(view.stage) / view.stage.problems
    return LiveRun(live_lines(reports, is_held, now), share, is_held)
