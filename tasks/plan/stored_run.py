"""The stages of a finished run, by its manifest, for commands that read them again."""

from overthink.storage.completeness import problems_key
from overthink.storage.stage_kinds import StageKind
from overthink.storage.storage_errors import StorageError
from overthink.storage.store import Run, Store
from overthink.tasks.datasets.problem_sets import ProblemSet
from overthink.tasks.domains.known_domains import MATH
from overthink.tasks.plan.method_nodes import problems_of
from overthink.tasks.stages.node import Input, Problems, StoredStage
from overthink.tasks.stages.problem_rows import problem_of


def stored_stage(run: Run, method_id: str | None, *kinds: StageKind) -> StoredStage:
    """A method's stage of the first kind in `kinds` that it has. Raises StorageError where it has none."""
    for kind in kinds:
        for use in run.stages:
            if (use.kind, use.method_id) == (kind, method_id):
                return StoredStage(use.key, method_id, use.n or 1)
    raise StorageError(f"run {run.run_id} names no {' or '.join(kinds)} stage of {method_id}: run its recipe again")


def stored_tests(run: Run, made: Input) -> StoredStage | None:
    """The tests of the programs that a method's stage holds; None where it holds none."""
    uses = [use for use in run.stages if (use.kind, use.method_id) == (StageKind.TEST, made.method_id)]
    # A strategy's pilot and what follows it have tests of their own, each of its rollouts.
    found = [use for use in uses if made.key in (use.inputs or ())]
    return StoredStage(found[0].key, made.method_id, made.n) if found else None


def stored_problem_set(store: Store, run: Run) -> ProblemSet:
    """The stored problems of a run, as a ProblemSet."""
    rows = store.stage(problems_key(run)).table("problems").to_pylist()
    return ProblemSet(title=run.problem_set.rpartition("@")[0], problems=tuple(map(problem_of, rows)))


def stored_problems(store: Store, run: Run) -> Problems:
    """The stored problems of a run, for the nodes of a graph, at the address that the run has them at."""
    return problems_of(stored_problem_set(store, run).in_domain(run.recipe.get("domain", MATH.name)))
