"""The pages: from what an address says to HTML, whatever an address looks like."""

from collections.abc import Callable, Mapping
from typing import Any

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.errors import UserError
from overthink.tasks.reporting.viewer.choice_of_run import ACCURACIES_SQL, best_of, choice_of
from overthink.tasks.reporting.viewer.open_readings import Reading, Readings
from overthink.tasks.reporting.viewer.page_templates import templates
from overthink.tasks.reporting.viewer.problem_facts import problem_facts
from overthink.tasks.reporting.viewer.problem_list import neighbours, problem_list
from overthink.tasks.reporting.viewer.problem_rollouts import rollout_page
from overthink.tasks.reporting.viewer.states import ListState, ProblemState, RunsState

# Writes the address of a page with these parameters.
Link = Callable[[str, Mapping[str, str]], str]
RUNS = 50  # on a page


class Pages:
    """The pages of one store, whose links `link` writes."""

    def __init__(self, store: Store, link: Link) -> None:
        self.store, self._link = store, link
        self._readings = Readings(store)
        self._pages: dict[str, Callable[[Mapping[str, str]], str]] = {
            "": self._runs,
            "run": self._run,
            "problem": self._problem,
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
        return templates().get_template(template).render(values, link=self._link, store=self.store.address)

    def _runs(self, parameters: Mapping[str, str]) -> str:
        state = RunsState.read(parameters)
        runs = self.store.runs()[::-1]
        shown = runs[RUNS * (state.page - 1) : RUNS * state.page]
        reading = Reading(self.store, shown, ("problems", "estimates"))
        try:
            accuracies = reading.rows(ACCURACIES_SQL)
        finally:
            reading.close()
        best = {run.run_id: best_of([row for row in accuracies if row["run_id"] == run.run_id]) for run in shown}
        pages = -(-len(runs) // RUNS)
        return self._html("runs.html", state=state, runs=shown, best=best, pages=pages, count=len(runs))

    def _run(self, parameters: Mapping[str, str]) -> str:
        state = ListState.read(parameters)
        run = self._known(state.run)
        with self._readings.of(run) as reading:
            choice = choice_of(reading, run, state)
            found = problem_list(reading, run, choice, state)
        return self._html("run.html", state=state, run=run, choice=choice, found=found)

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

    def _known(self, run_id: str) -> Run:
        for run in self.store.runs():
            if run.run_id == run_id:
                return run
        raise UserError(f"the store has no run {run_id!r}")
