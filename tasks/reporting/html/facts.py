"""The facts of a run that a report's figures need: its methods, best selector and bins of difficulty."""

from dataclasses import dataclass

from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import Run, Store
from overthink.tasks.analysis.difficulty import DifficultyConfig
from overthink.tasks.analysis.method_ids import family, method_name
from overthink.tasks.reporting.pictures import (
    BLUE,
    BROWN,
    GREEN,
    INDIGO,
    INK,
    MAROON,
    MUTED,
    OLIVE,
    ORANGE,
    PURPLE,
    ROSE,
    SKY,
    TEAL,
    VERMILION,
)
from overthink.tasks.reporting.results import Row, best_row, summary_rows

METHOD_COLOURS = {
    "best_of_n": BLUE,
    "beam_search": VERMILION,
    "dvts": GREEN,
    "rebase": PURPLE,
    "particle_filtering": ORANGE,
    "mcts": SKY,
    "adaptive": BROWN,
    "compute_optimal": INK,
    "budget_forcing": OLIVE,
    "deepconf": ROSE,
    "self_refine": TEAL,
    "self_verify": INDIGO,
    "sequential_revisions": MAROON,
}
LONGEST_LABEL = 18  # letters that fit beside a panel


@dataclass(frozen=True)
class RunFacts:
    """A finished run and its rows of `summary`."""

    store: Store
    run: Run
    rows: tuple[Row, ...]

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def known(self) -> list[Row]:
        """The rows with an accuracy: those with any known verdict."""
        return [row for row in self.rows if row["accuracy"] is not None]

    @property
    def families(self) -> list[str]:
        """The methods without their budgets, in the recipe's order; cot, a single greedy solution, is left out."""
        return list(dict.fromkeys(family(row["method_id"]) for row in self.known if row["method_id"] != "cot"))

    @property
    def budgets(self) -> list[int]:
        """All n of those methods, ascending."""
        return sorted({row["n"] for row in self.known if row["method_id"] != "cot"})

    @property
    def greedy(self) -> Row | None:
        """cot's row."""
        return next((row for row in self.known if row["method_id"] == "cot"), None)

    @property
    def best(self) -> Row | None:
        """See `best_row`."""
        return best_row(self.rows)

    @property
    def chance(self) -> float | None:
        """The mean probability that a guess is right, in [0, 1]; None where that says nothing."""
        found: float | None = self.rows[0]["chance"] if self.rows else None
        return found

    @property
    def lead(self) -> str:
        """The selector of the best row, which figures draw in full."""
        return "majority" if self.best is None else str(self.best["selector"])

    @property
    def independent(self) -> str | None:
        """The method whose independent rollouts give pass@1: the one with the most rollouts."""
        if self.is_imported:
            # Imported rollouts may be those that a search kept: only the importer's recipe says it.
            known = [row for row in self.known if self.run.recipe.get("independent")]
        else:
            known = [row for row in self.known if method_name(row["method_id"]) == "best_of_n"]
        best = max(known, key=lambda row: row["n"], default=None)
        return None if best is None else str(best["method_id"])

    @property
    def is_imported(self) -> bool:
        """Whether another tool made the rollouts."""
        return any(use.kind == StageKind.IMPORT for use in self.run.stages)

    @property
    def difficulty(self) -> DifficultyConfig:
        """The recipe's bins of pass@1."""
        return DifficultyConfig.model_validate(self.run.recipe.get("difficulty", {}))

    def label(self, name: str) -> str:
        """A family's label, short enough for its curve: without parameters where they distinguish no families."""
        short = method_name(name)
        if [method_name(one) for one in self.families].count(short) == 1:
            return short
        return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


def run_facts(store: Store, run: Run) -> RunFacts:
    """Read a run's summary."""
    return RunFacts(store, run, tuple(summary_rows(store, run.run_id)))


def colour_of(method_id: str) -> str:
    """A method's colour, the same in every figure."""
    return METHOD_COLOURS.get(method_name(method_id), MUTED)
