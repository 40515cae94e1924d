"""From the recipe of an import to the graphs of its runs, one for each set of rollouts in its path."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from overthink.tasks.analysis.selectors import BY_DEFAULT, SELECTORS, SelectorName, signal_of
from overthink.tasks.analysis.signals import OF_TESTS, ClassName, SignalName
from overthink.tasks.datasets.user_turns import Asking
from overthink.tasks.domains.domain import Domain
from overthink.tasks.domains.program_domain import ProgramDomain
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.errors import ProblemError
from overthink.tasks.importers.answer_counts import read_answer_counts
from overthink.tasks.importers.codet import read_codet
from overthink.tasks.importers.compute_optimal_tts import read_compute_optimal_tts
from overthink.tasks.importers.import_words import ImportFormat, WhichSelectors
from overthink.tasks.importers.imported import ImportedProblem, ImportedSet
from overthink.tasks.importers.imported_reasoning import families_of, with_reasoning
from overthink.tasks.importers.inspect_logs import read_inspect
from overthink.tasks.importers.lm_eval import read_lm_eval
from overthink.tasks.importers.mapped_jsonl import read_mapped_jsonl
from overthink.tasks.importers.search_and_learn import read_search_and_learn
from overthink.tasks.plan.method_nodes import grade_node, problems_of, tests_node
from overthink.tasks.plan.run_plan import Plan, run_id
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.stages.import_nodes import ImportNode
from overthink.tasks.stages.node import ProblemsNode
from overthink.tasks.stages.select import SelectNode, SelectSettings


def plan_imports(recipe: ImportRecipe) -> list[Plan]:
    """Read everything, then compute the key of every stage. Writes nothing. Raises ProblemError."""
    asking = Asking(recipe.grader.domain)
    return [_plan(recipe, _posed(imported, asking, recipe.columns)) for imported in read_sets(recipe)]


def _posed(imported: ImportedSet, asking: Asking, columns: Mapping[str, str]) -> ImportedSet:
    """The same rollouts of problems as their domain has them. Raises ProblemError naming place and columns."""

    def posed(each: ImportedProblem) -> ImportedProblem:
        given = each.problem.reference if each.given is None else each.given
        try:
            problem = asking.asked(each.problem, given, each.place or f"problem {each.problem.problem_id}")
        except ProblemError as error:
            named = [f"{key}={columns[key]}" for key in ("reference", *each.problem.fields) if key in columns]
            raise ProblemError(f"{error} ({', '.join(named)})" if named else str(error)) from error
        return replace(each, problem=problem)

    return replace(imported, problems=tuple(map(posed, imported.problems)))


def read_sets(recipe: ImportRecipe) -> list[ImportedSet]:
    """All rollouts in a recipe's path, their reasoning kept apart.

    Raises ProblemError naming the file, line and field of what cannot be used.
    """
    families = families_of(recipe.reasoning)
    return [with_reasoning(imported, families) for imported in READERS[recipe.format](recipe)]


def _codet(recipe: ImportRecipe) -> list[ImportedSet]:
    assert recipe.problems is not None, "a recipe of codet has them"
    return [read_codet(recipe.path, recipe.problems)]


def _jsonl(recipe: ImportRecipe) -> list[ImportedSet]:
    how = recipe.independent, recipe.score_transform, recipe.explode
    return [read_mapped_jsonl(recipe.path, recipe.columns, *how)]


READERS: Mapping[ImportFormat, Callable[[ImportRecipe], list[ImportedSet]]] = {
    "compute-optimal-tts": lambda recipe: read_compute_optimal_tts(recipe.path),
    "search-and-learn": lambda recipe: [read_search_and_learn(recipe.path, recipe.independent)],
    "answer-counts": lambda recipe: [read_answer_counts(recipe.path)],
    "lm-eval": lambda recipe: read_lm_eval(recipe.path, recipe.columns),
    "inspect": lambda recipe: read_inspect(recipe.path, recipe.columns),
    "codet": _codet,
    "jsonl": _jsonl,
}


def selectors_of(imported: ImportedSet, which: WhichSelectors, domain: Domain) -> tuple[SelectorName, ...]:
    """The selectors that the rollouts allow."""
    known: set[SignalName | ClassName | None] = {None, *(("prm",) if imported.is_scored else ())}
    if isinstance(domain, ProgramDomain):
        known.update(OF_TESTS)
    if any(rollout.completion_tokens is not None for each in imported.problems for rollout in each.rollouts):
        known.add("completion_tokens")
    names = SELECTORS if which == "all" else BY_DEFAULT
    return tuple(name for name in names if signal_of(name) in known)


def _plan(recipe: ImportRecipe, imported: ImportedSet) -> Plan:
    problems, method_id, n = problems_of(imported.problem_set.in_domain(recipe.domain)), imported.method_id, imported.n
    prm = _prm(imported)
    rollouts = ImportNode(
        problems=problems,
        method_id=method_id,
        n=n,
        imported=imported,
        format=recipe.format,
        columns=recipe.columns,
        prm=None if prm is None else prm.address,
    )
    tests = tests_node(recipe, problems, rollouts)
    grades = grade_node(recipe, problems, rollouts, tests)
    names = selectors_of(imported, recipe.selectors, recipe.grader.domain)
    chosen = SelectNode(
        problems=problems,
        method_id=method_id,
        n=n,
        rollouts=rollouts,
        grades=grades,
        scores=rollouts if imported.is_scored else None,
        settings=SelectSettings(imported.budgets, names, imported.independent, recipe.seed),
    )
    # The name contains what distinguishes this set from the import's other sets.
    named = recipe.model_copy(update={"name": "-".join(filter(None, (recipe.name, imported.label)))})
    nodes = (ProblemsNode(problems=problems), rollouts, *([] if tests is None else [tests]), grades, chosen)
    policy = None if imported.policy is None else EngineIdentity(imported.policy, None, {})
    return Plan(named, run_id(named.name, [problems.key, chosen.identity]), problems, nodes, policy, prm)


def _prm(imported: ImportedSet) -> EngineIdentity | None:
    """The PRM as the other tool names it; None where the rollouts have no scores.

    Its weights are unknown, so it never counts as the same as a local PRM of that name, or as another unnamed PRM.
    """
    if not imported.is_scored:
        return None
    return EngineIdentity(imported.prm or "unknown", None, {"imported": imported.prm or imported.content})
