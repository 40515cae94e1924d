"""The flow `import`: rollouts that another tool stored become a run of ours, graded and chosen from by our stages."""

from dataclasses import dataclass
from functools import partial

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_summary
from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key, labelled_key
from overthink.storage.manifest import Cover, Entry
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse, Store
from overthink.tasks.analysis.selectors import SELECTORS, SelectorName, needs_prm
from overthink.tasks.datasets.sources import ProblemSet
from overthink.tasks.engines.registry import EngineIdentity
from overthink.tasks.importers.compute_optimal_tts import read_compute_optimal_tts
from overthink.tasks.importers.imported import ImportedSet
from overthink.tasks.importers.imported_tables import imported_tables
from overthink.tasks.importers.mapped_jsonl import read_mapped_jsonl
from overthink.tasks.importers.search_and_learn import read_search_and_learn
from overthink.tasks.plan.identity import JsonObject, grade_identity, problems_identity, select_identity, stage_identity
from overthink.tasks.recipes.import_recipe import ImportRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import RunModels, StageJob, StageRunner, begin_run, concluded
from overthink.tasks.stages.select import SelectSettings
from overthink.tasks.stages.shards import ShardContext, ShardWork


@dataclass(frozen=True)
class ImportPlan:
    """One imported set, and the stages that are made of it; each identity is what its key is the hash of."""

    recipe: ImportRecipe
    imported: ImportedSet
    problem_set: ProblemSet
    problems: JsonObject
    rollouts: JsonObject
    grade: JsonObject
    select: JsonObject

    @property
    def name(self) -> str:
        """The recipe's name, and what tells this set from the others of one import."""
        return "-".join(filter(None, (self.recipe.name, self.imported.label)))

    @property
    def run_id(self) -> str:
        """The same for the same rollouts, read and graded in the same way."""
        return f"{self.name}-{content_key([labelled_key(StageKind.PROBLEMS, self.problems), self.select])[:10]}"

    @property
    def units(self) -> tuple[str, ...]:
        """The problems' content addresses."""
        return tuple(each.problem.problem_key for each in self.imported.problems)

    @property
    def policy(self) -> EngineIdentity | None:
        """The policy as the other tool names it."""
        return None if self.imported.policy is None else EngineIdentity(self.imported.policy, None, {})

    @property
    def prm(self) -> EngineIdentity | None:
        """The PRM as the other tool names it; None where the rollouts bring no scores.

        Its weights are unknown, so it is never taken for one of ours of that name, nor one without a name for another.
        """
        if not self.imported.is_scored:
            return None
        name = self.imported.prm
        return EngineIdentity(name or "unknown", None, {"imported": name or self.rollouts["content"]})

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        method_id, n = self.imported.method_id, self.imported.n
        return (
            StageUse(StageKind.PROBLEMS, labelled_key(StageKind.PROBLEMS, self.problems)),
            StageUse(StageKind.IMPORT, labelled_key(StageKind.IMPORT, self.rollouts), method_id, n),
            StageUse(StageKind.GRADE, labelled_key(StageKind.GRADE, self.grade), method_id, n),
            StageUse(StageKind.SELECT, labelled_key(StageKind.SELECT, self.select), method_id),
        )


def read_sets(recipe: ImportRecipe) -> list[ImportedSet]:
    """All that a recipe's path holds. Raises ProblemError naming file, line and field of what cannot be used."""
    match recipe.format:
        case "compute-optimal-tts":
            return read_compute_optimal_tts(recipe.path)
        case "search-and-learn":
            return [read_search_and_learn(recipe.path, recipe.independent)]
        case "jsonl":
            how = recipe.independent, recipe.score_transform, recipe.explode
            return [read_mapped_jsonl(recipe.path, recipe.columns, *how)]


def make_import_plans(recipe: ImportRecipe) -> list[ImportPlan]:
    """Read everything, then address every stage. Raises ProblemError; nothing is written."""
    return [_plan(recipe, imported) for imported in read_sets(recipe)]


def _plan(recipe: ImportRecipe, imported: ImportedSet) -> ImportPlan:
    problem_set = imported.problem_set.in_domain(recipe.domain)
    problems = problems_identity(problem_set)
    rollouts = stage_identity(
        StageKind.IMPORT, format=recipe.format, columns=dict(recipe.columns), content=imported.content
    )
    key = labelled_key(StageKind.IMPORT, rollouts)
    grade = grade_identity(key, recipe.grader, problems)
    scores = key if imported.is_scored else None
    select = select_identity(grade, scores, problems, imported.n, _settings(recipe, imported))
    return ImportPlan(recipe, imported, problem_set, problems, rollouts, grade, select)


def selectors_of(imported: ImportedSet) -> tuple[SelectorName, ...]:
    """All selectors that the rollouts allow."""
    return tuple(name for name in SELECTORS if imported.is_scored or not needs_prm(name))


def _settings(recipe: ImportRecipe, imported: ImportedSet) -> SelectSettings:
    return SelectSettings(imported.budgets, selectors_of(imported), imported.independent, recipe.seed)


def is_imported(plan: ImportPlan, store: Store) -> bool:
    """Whether every part of an imported run is there and whole."""
    return is_whole(store, plan.run_id, plan.uses())


@flow(name="import", flow_run_name="import {recipe.name}", persist_result=False)
async def import_rollouts(recipe: ImportRecipe, store: StorePlace) -> list[str]:
    """Import what another tool stored, grade it and choose from it; returns the runs' ids.

    Everything is read and checked before anything is written. Raises UserError or StorageError; what was written is
    safe, and importing the same again goes on from there.
    """
    opened = open_store(store)
    plans = make_import_plans(recipe)
    for plan in plans:
        progress = RunProgress(terminal.get())
        with opened.lock_run(plan.run_id), progress.shown():
            await _carry_out(plan, opened, progress)
    return [plan.run_id for plan in plans]


async def _carry_out(plan: ImportPlan, store: Store, progress: RunProgress) -> None:
    recipe, imported = plan.recipe, plan.imported
    problem_set = plan.problem_set
    stages = StageRunner(store, progress, plan.run_id, {each.problem_key: each for each in problem_set.problems})

    def job(use: StageUse, identity: JsonObject, shard_size: int) -> StageJob:
        return StageJob(store.stage(use.key), identity, use.kind, imported.n, shard_size)

    named = recipe.model_copy(update={"name": plan.name})
    run = begin_run(store, plan.run_id, named, problem_set.name, RunModels(plan.policy, plan.prm), plan.uses())
    with concluded(store, run):
        problems, rollouts, grade, select = run.stages
        rows = [{"problem_set": problem_set.name, **vars(problem)} for problem in problem_set.problems]
        stages.write_problems(problems.key, plan.problems, rows)
        brought = job(rollouts, plan.rollouts, len(plan.units))
        await stages.run(brought, partial(_writer, plan))
        graded = job(grade, plan.grade, recipe.shard_size)
        await stages.grade(graded, brought.stage, recipe.grader)
        chosen = job(select, plan.select, len(plan.units))
        scores = brought.stage if imported.is_scored else None
        settings = _settings(recipe, imported)
        await stages.select(chosen, graded.stage, scores, settings, recipe.grader)
    await publish_summary(store, plan.run_id)


def _writer(plan: ImportPlan, context: ShardContext) -> ShardWork:
    async def write(cover: Cover) -> Entry:
        stage, prm_id = context.stage, None if plan.prm is None else plan.prm.address
        entry = stage.write_part(cover, imported_tables(stage.key, plan.imported, prm_id))
        for _ in cover.units:
            context.on_problem()
        return entry

    return write
