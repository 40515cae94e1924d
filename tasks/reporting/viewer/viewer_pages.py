"""The pages: from what an address says to HTML, whatever an address looks like."""

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.choice_of_run import ACCURACIES_SQL, best_of, choice_of
from overthink.tasks.reporting.viewer.live_run import LiveRun, live_run
from overthink.tasks.reporting.viewer.open_readings import OpenReading, Readings
from overthink.tasks.reporting.viewer.page_templates import templates
from overthink.tasks.reporting.viewer.problem_facts import problem_facts
from overthink.tasks.reporting.viewer.problem_list import neighbours, problem_list
from overthink.tasks.reporting.viewer.problem_rollouts import rollout_page
from overthink.tasks.reporting.viewer.search_tree import search_tree
from overthink.tasks.reporting.viewer.side_by_side import pairs_of
from overthink.tasks.reporting.viewer.states import BothState, CompareState, ListState, ProblemState, RunsState

# Writes the address of a page with these parameters.
Link = Callable[[str, Mapping[str, str]], str]
RUNS = 50  # on a page
MOST_OTHERS = 200  # runs to compare with


class Pages:
    """The pages of one store, or of the runs `only` in it, whose links `link` writes.

    Where they are static they have no forms: a file answers none.
    """

    def __init__(self, store: Store, link: Link, only: Collection[str] | None = None, is_static: bool = False) -> None:
        self.store, self._link, self._only, self._is_static = store, link, only, is_static
        self._readings = Readings(store)
        self._pages: dict[str, Callable[[Mapping[str, str]], str]] = {
            "": self._runs,
            "run": self._run,
            "problem": self._problem,
            "tree": self._tree,
            "compare": self._compare,
            "both": self._both,
        }

    def __contains__(self, page: str) -> bool:
        return page in self._pages

    def render(self, page: str, parameters: Mapping[str, str]) -> str:
        """The HTML of a page. Raises UserError for parameters that it does not know, QueryError and StorageError."""
        return self._pages[page](parameters)

    def failure(self, message: str) -> str:
        """The page that says what went wrong."""
        return self._html("failure.html", message=message)

    def close(self) -> None:
        """Close what is open of the store."""
        self._readings.close()

    def _html(self, template: str, **values: Any) -> str:
        return (
            templates()
            .get_template(template)
            .render(values, link=self._link, store=self.store.address, is_static=self._is_static)
        )

    def _runs(self, parameters: Mapping[str, str]) -> str:
        state = RunsState.read(parameters)
        runs = self._known_runs()[::-1]
        shown = runs[RUNS * (state.page - 1) : RUNS * state.page]
        with closing(OpenReading(self.store, shown, ("problems", "estimates"))) as reading:
            accuracies = reading.rows(ACCURACIES_SQL)
        best = {run.run_id: best_of([row for row in accuracies if row["run_id"] == run.run_id]) for run in shown}
        pages = -(-len(runs) // RUNS)
        live = {run.run_id: self._live(run) for run in shown}
        return self._html("runs.html", state=state, runs=shown, best=best, pages=pages, count=len(runs), live=live)

    def _run(self, parameters: Mapping[str, str]) -> str:
        state = ListState.read(parameters)
        run = self._known(state.run)
        with self._readings.of(run) as reading:
            choice = choice_of(reading, run, state)
            found = problem_list(reading, run, choice, state)
        others = [one for one in self._known_runs()[::-1] if one.problem_set == run.problem_set and one != run]
        shown = {"state": state, "run": run, "choice": choice, "found": found, "others": others[:MOST_OTHERS]}
        return self._html("run.html", **shown, live=self._live(run))

    def _problem(self, parameters: Mapping[str, str]) -> str:
        state = ProblemState.read(parameters)
        run = self._known(state.run)
        with self._readings.of(run) as reading:
            choice = choice_of(reading, run, state)
            facts = problem_facts(reading, run, choice, state.problem)
            shown = rollout_page(reading, run, choice, state)
            before, after = neighbours(reading, run, choice, state.listed, state.problem)
        searches = {use.method_id for use in run.stages if use.kind == StageKind.SEARCH}
        return self._html(
            "problem.html",
            **{"state": state, "run": run, "choice": choice, "facts": facts, "shown": shown},
            **{"before": before, "after": after, "is_search": choice.method in searches},
        )

    def _tree(self, parameters: Mapping[str, str]) -> str:
        state = ProblemState.read(parameters)
        run = self._known(state.run)
        with self._readings.of(run) as reading:
            choice = choice_of(reading, run, state)
            facts = problem_facts(reading, run, choice, state.problem)
            tree = search_tree(reading, run, choice.method, state.problem)
        return self._html("tree.html", state=state, run=run, choice=choice, facts=facts, tree=tree)

    def _compare(self, parameters: Mapping[str, str]) -> str:
        state = CompareState.read(parameters)
        runs = self._known(state.run), self._known(state.other)
        with self._readings.of(*runs) as reading:
            first, second = map(partial(choice_of, reading), runs, state.sides)
            found = pairs_of(reading, runs, (first, second), state)
        return self._html("compare.html", state=state, runs=runs, chosen=(first, second), found=found)

    def _both(self, parameters: Mapping[str, str]) -> str:
        state = BothState.read(parameters)
        runs = self._known(state.run), self._known(state.other)
        with self._readings.of(*runs) as reading:
            sides = [_side(reading, run, side, state.problem) for run, side in zip(runs, state.sides, strict=True)]
        return self._html("both.html", state=state, sides=sides)

    def _live(self, run: Run) -> LiveRun | None:
        return None if self._is_static else live_run(self.store, run)

    def _known_runs(self) -> list[Run]:
        return [run for run in self.store.runs() if self._only is None or run.run_id in self._only]

    def _known(self, run_id: str) -> Run:
        for run in self._known_runs():
            if run.run_id == run_id:
                return run
        raise UserError(f"the store has no run {run_id!r}")


def _side(reading: OpenReading, run: Run, side: ListState, problem_id: str) -> dict[str, Any]:
    """What a run made of a problem."""
    state = ProblemState(**side.model_dump(), problem=problem_id)
    choice = choice_of(reading, run, state)
    facts = problem_facts(reading, run, choice, problem_id)
    shown = rollout_page(reading, run, choice, state)
    return {"run": run, "state": state, "choice": choice, "facts": facts, "shown": shown}
