"""The flow `prm-eval`: a PRM held against solutions whose first wrong step is known, resumable."""

from dataclasses import dataclass
from functools import partial

from prefect import flow

from overthink.flows.orchestration.artifacts import publish_rows
from overthink.flows.orchestration.secret_blocks import open_prm
from overthink.storage.completeness import is_whole
from overthink.storage.keys import content_key, labelled_key
from overthink.storage.opening import open_store
from overthink.storage.stage_kinds import StageKind
from overthink.storage.store import StageUse, Store
from overthink.tasks.analysis.prm_measures import lacking_kind
from overthink.tasks.datasets.labelled import LabelledSet, LabelledSolution, load_solutions
from overthink.tasks.engines.engine_protocol import Prm
from overthink.tasks.engines.registry import EngineIdentity, EngineSlot, identify
from overthink.tasks.errors import ProblemError
from overthink.tasks.plan.identity import JsonObject, own_code, stage_identity
from overthink.tasks.recipes.recipe import PrmEvalRecipe
from overthink.tasks.recipes.store_uri import StorePlace
from overthink.tasks.reporting.prm_tables import FIGURES_SQL, figure_rows
from overthink.tasks.stages.import_tables import imported_tables
from overthink.tasks.stages.measure import ThresholdSplit, labelled_figures
from overthink.tasks.stages.progress import RunProgress, terminal
from overthink.tasks.stages.runner import RunModels, StageJob, StageRunner, begin_run, concluded


@dataclass(frozen=True)
class PrmEvalPlan:
    """Everything an evaluation needs to know before it starts."""

    recipe: PrmEvalRecipe
    labelled: LabelledSet
    prm: EngineIdentity

    @property
    def by_key(self) -> dict[str, LabelledSolution]:
        """The solutions by their content address."""
        return {solution.problem.problem_key: solution for solution in self.labelled.solutions}

    @property
    def problems(self) -> JsonObject:
        """What the problems' stage holds."""
        return stage_identity(StageKind.PROBLEMS, problem_set=self.labelled.name, problems=list(self.by_key))

    @property
    def imported(self) -> JsonObject:
        """What the imported solutions have in common; each has its own content in its unit's address."""
        return stage_identity(StageKind.IMPORT, labeller=self.labelled.labeller)

    @property
    def score(self) -> JsonObject:
        """What the scores depend on."""
        return stage_identity(
            StageKind.SCORE, samples=labelled_key(StageKind.IMPORT, self.imported), prm=self.prm.determinants
        )

    @property
    def measure(self) -> JsonObject:
        """What the figures depend on."""
        return stage_identity(
            StageKind.MEASURE,
            scores=labelled_key(StageKind.SCORE, self.score),
            problems=labelled_key(StageKind.PROBLEMS, self.problems),
            threshold={"share": self.recipe.threshold_share, "seed": self.recipe.seed},
            **own_code("solution_measures"),
        )

    @property
    def split(self) -> ThresholdSplit:
        """Which solutions choose the threshold."""
        return ThresholdSplit(self.recipe.threshold_share, self.recipe.seed)

    @property
    def run_id(self) -> str:
        """The same for the same recipe on the same solutions and PRM."""
        return f"{self.recipe.name}-{content_key(self.measure)[:10]}"

    def uses(self) -> tuple[StageUse, ...]:
        """All stages this run stands on."""
        labeller = self.labelled.labeller
        of_labeller = (self.imported, self.score, self.measure)
        return (
            StageUse(StageKind.PROBLEMS, labelled_key(StageKind.PROBLEMS, self.problems), n=1),
            *(StageUse(one["stage"], labelled_key(one["stage"], one), labeller, 1) for one in of_labeller),
        )


def make_prm_eval_plan(recipe: PrmEvalRecipe, labelled: LabelledSet) -> PrmEvalPlan:
    """Address every stage. Raises EngineUnavailable, or ProblemError where the solutions cannot give an F1."""
    plan = PrmEvalPlan(recipe, labelled, identify(recipe.prm))
    sides: dict[bool, list[bool]] = {True: [], False: []}
    for solution in labelled.solutions:
        sides[plan.split.chooses(solution.question)].append(solution.first_wrong is not None)
    complaint = lacking_kind(sides[True], sides[False])
    if complaint:
        raise ProblemError(f"{labelled.name}: {complaint}; add solutions or change threshold_share")
    return plan


def is_measured(plan: PrmEvalPlan, store: Store) -> bool:
    """Whether every part of an evaluation is there and whole."""
    return is_whole(store, plan.run_id, plan.uses())


@flow(name="prm-eval", flow_run_name="prm-eval {recipe.name}", persist_result=False)
async def prm_eval(recipe: PrmEvalRecipe, store: StorePlace, skip_bad_rows: bool = False) -> str:
    """Import labelled solutions, score their steps and measure the PRM; returns the run's id.

    Raises what `evaluate` raises, and like it goes on where it was stopped.
    """
    plan = make_prm_eval_plan(recipe, load_solutions(recipe.solutions, skip_bad_rows))
    opened, progress = open_store(store), RunProgress(terminal.get())
    with opened.lock_run(plan.run_id), progress.shown():
        await PrmEvaluation(plan, opened, progress).run()
    return plan.run_id


class PrmEvaluation:
    """One evaluation under way."""

    def __init__(self, plan: PrmEvalPlan, store: Store, progress: RunProgress) -> None:
        self.plan = plan
        self.store = store
        self.problems = {key: solution.problem for key, solution in plan.by_key.items()}
        self.stages = StageRunner(store, progress, plan.run_id, self.problems)
        self.prm: EngineSlot[Prm] = EngineSlot(plan.recipe.prm, open_prm)

    async def run(self) -> None:
        """All stages in turn."""
        plan, recipe, labelled = self.plan, self.plan.recipe, self.plan.labelled
        run = begin_run(self.store, plan.run_id, recipe, labelled.name, RunModels(prm=plan.prm), plan.uses())
        with concluded(self.store, run):
            problems, imported, score, measured = (use.key for use in run.stages)
            rows = [{"problem_set": labelled.name, **vars(problem)} for problem in self.problems.values()]
            self.stages.write_problems(problems, plan.problems, rows)
            tables = partial(imported_tables, imported, labelled.labeller, plan.by_key)
            self.stages.write_once(imported, plan.imported, tables)
            try:
                job = StageJob(self.store.stage(score), plan.score, "score", 1, recipe.shard_size)
                samples = self.store.stage(imported)
                await self.stages.score(job, samples, plan.prm.address, self.prm, recipe.seed, all_must_fit=True)
            finally:
                await self.prm.close()
            await self._measure(imported, score, measured)
        await publish_rows(plan.run_id, "prm", figure_rows(self.store, plan.run_id), FIGURES_SQL)

    async def _measure(self, imported_key: str, score_key: str, measure_key: str) -> None:
        imported, scores = self.store.stage(imported_key), self.store.stage(score_key)
        labeller = self.plan.labelled.labeller
        figures = partial(labelled_figures, imported, scores, labeller, self.problems, self.plan.split)
        sources = (*scores.digests("scores", self.problems), *imported.digests("step_labels", self.problems))
        job = StageJob(self.store.stage(measure_key), self.plan.measure, f"measure {labeller}", 1, len(self.problems))
        await self.stages.measure(job, self.plan.prm.address, labeller, figures, sources)
